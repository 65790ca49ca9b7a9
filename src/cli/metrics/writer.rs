//! Metrics as OpenMetrics text, which Prometheus reads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::Watched;

/// Writes metrics one after the other. The unit of a name is written behind it, and `total` behind a counter's.
pub struct Writer<'e>(DescriptorEncoder<'e>);

/// All metrics of what is watched.
pub fn text(watched: &Arc<dyn Watched>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(Arc::clone(watched))));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Collected(Arc<dyn Watched>);

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        writer.info("byway_build", "The version of byway.", &version)?;
        self.0.write(&mut writer)
    }
}

impl Writer<'_> {
    /// Texts.
    pub fn info(&mut self, name: &str, help: &str, texts: &[(&str, &str)]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&texts)
    }

    /// A number that goes up and down.
    pub fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        let (name, unit) = (name, unit.as_ref());
        self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A number that only grows.
    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// Numbers that only grow, told apart by a label.
    pub fn counters<'v>(
        &mut self,
        (name, label): (&str, &str),
        help: &str,
        unit: Option<Unit>,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) -> fmt::Result {
        let mut family =
            self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for (value, count) in values {
            let labels = [(label, value)];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    /// Times, by how long they were: less than a bound, `None` being longer than all of these.
    pub fn times(
        &mut self,
        name: &str,
        help: &str,
        sum: Duration,
        buckets: impl IntoIterator<Item = (Option<Duration>, u64)>,
    ) -> fmt::Result {
        // The crate's own sign of what is above all bounds.
        let above = |bound: Option<Duration>| bound.map_or(f64::MAX, |time| time.as_secs_f64());
        let buckets: Vec<_> =
            buckets.into_iter().map(|(bound, count)| (above(bound), count)).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        self.0
            .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum.as_secs_f64(), count, &buckets, None)
    }
}
