//! Bars of the medians, as SVG, with whiskers for the ranges.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::report::{Report, short};
use crate::system::System;

/// Size of a picture, in pixels.
const SIZE: (u32, u32) = (760, 320);

/// A picture: its file, title, unit, figure, divisor of the figure, and its cells.
struct Plot {
    file: &'static str,
    title: &'static str,
    figure: &'static str,
    per: f64,
    cells: &'static [&'static str],
}

const PLOTS: [Plot; 6] = [
    Plot {
        file: "default.svg",
        title: "What you get by default on loopback, MB/s (more is better)",
        figure: "MB/s",
        per: 1.0,
        cells: &["default", "default, both ways", "default, 8 at once"],
    },
    Plot {
        file: "default-50ms.svg",
        title: "What you get by default, 50 ms round trip on each leg, MB/s (more is better)",
        figure: "MB/s",
        per: 1.0,
        cells: &["default, 50 ms, 40 MB/s", "default, 50 ms, 40 MB/s, both ways"],
    },
    Plot {
        file: "round-trip.svg",
        title: "Round trip of 64 B on loopback, p50, µs (less is better)",
        figure: "p50 µs",
        per: 1.0,
        cells: &["round trip", "round trip, squid"],
    },
    Plot {
        file: "bulk.svg",
        title: "One stream on loopback, MB/s (more is better)",
        figure: "MB/s",
        per: 1.0,
        cells: &["bulk", "bulk, both ways", "bulk, cores left alone", "bulk, squid"],
    },
    Plot {
        file: "bulk-50ms.svg",
        title: "One stream, 50 ms round trip on each leg, MB/s (more is better)",
        figure: "MB/s",
        per: 1.0,
        cells: &["bulk, 50 ms", "bulk, 50 ms, 40 MB/s"],
    },
    Plot {
        file: "messages.svg",
        title: "Messages of 64 B written one by one, million a second (more is better)",
        figure: "messages/s",
        per: 1e6,
        cells: &["pc, 64 B messages"],
    },
];

fn colour(system: System) -> RGBColor {
    match system {
        System::Tcp => RGBColor(120, 120, 120),
        System::Post => RGBColor(190, 150, 90),
        System::Bare => RGBColor(220, 190, 140),
        System::LongPoll => RGBColor(70, 130, 180),
        System::Streaming => RGBColor(30, 80, 140),
        System::Forward => RGBColor(200, 140, 30),
        System::Httptunnel => RGBColor(170, 80, 80),
    }
}

/// Draws every plot that has data.
pub fn all(report: &Report, folder: &Path) -> Result<()> {
    for plot in &PLOTS {
        draw(report, plot, &folder.join(plot.file))?;
    }
    Ok(())
}

fn draw(report: &Report, plot: &Plot, file: &Path) -> Result<()> {
    let mut bars = Vec::new();
    for cell in plot.cells {
        for row in report.rows.iter().filter(|row| row.cell == *cell) {
            let (Some(median), Some(turns)) =
                (row.median(plot.figure), row.figures.get(plot.figure))
            else {
                continue;
            };
            let least = turns.iter().copied().fold(f64::MAX, f64::min) / plot.per;
            let most = turns.iter().copied().fold(0.0, f64::max) / plot.per;
            bars.push((*cell, row.system, median / plot.per, least, most));
        }
    }
    let Some(top) = bars.iter().map(|bar| bar.4).reduce(f64::max) else { return Ok(()) };
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(plot.title, ("sans-serif", 16))
        .margin(8)
        .margin_right(70)
        .x_label_area_size(24)
        .y_label_area_size(260)
        .build_cartesian_2d(0.0..top * 1.05, 0.0..bars.len() as f64)?;
    chart.configure_mesh().disable_y_mesh().y_labels(0).x_label_style(("sans-serif", 12)).draw()?;
    for (i, (cell, system, median, least, most)) in bars.iter().enumerate() {
        let y = (bars.len() - 1 - i) as f64;
        let style = colour(*system);
        chart.draw_series([Rectangle::new(
            [(0.0, y + 0.15), (*median, y + 0.85)],
            style.filled(),
        )])?;
        chart.draw_series([PathElement::new(vec![(*least, y + 0.5), (*most, y + 0.5)], BLACK)])?;
        for (text, from, gap, side) in [
            (format!("{cell}: {}", system.name()), 0.0, -6, HPos::Right),
            (short(*median), *most, 6, HPos::Left),
        ] {
            let (x, at) = chart.backend_coord(&(from, y + 0.5));
            let style = TextStyle::from(("sans-serif", 12)).pos(Pos::new(side, VPos::Center));
            root.draw(&Text::new(text, (x + gap, at), style))?;
        }
    }
    root.present()?;
    Ok(())
}
