//! nginx, fetched by wrk on 32 connections, and by curl with contents compared.

use std::fs;
use std::net::SocketAddr;

use crate::files;
use crate::stage::{Carries, Stage};
use crate::table::Figure;
use crate::{Result, Size};

const PORT: u16 = 8000;
/// The octets of the page that wrk fetches.
const PAGE: usize = 1_000;

pub fn run(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let octets: usize = size.pick(64 << 20, 256 << 20);
    let root = stage.path("root");
    fs::create_dir(&root)?;
    files::write(&root.join("page"), 1, PAGE)?;
    files::write(&root.join("large"), 2, octets)?;
    serve(stage, PORT)?;
    let door = stage.door(PORT, Carries::Streams)?;

    let mut figures = Vec::new();
    for (what, header) in [
        ("wrk on 32 connections", None),
        ("wrk, a connection for each request", Some("Connection: close")),
    ] {
        figures.push(wrk(stage, size, door, what, header)?);
    }
    let url = format!("http://{door}/large");
    let mut curl = stage.on_phone("curl");
    curl.args(["-sS", "--fail", "--noproxy", "*", "-o", "fetched", &url]);
    let done = stage.carry(&mut curl, octets as u64 / 2)?;
    files::compare(&root.join("large"), &stage.path("fetched"))?;
    figures.push(Figure::rate("a large file by curl", octets as u64, done.seconds));
    Ok(figures)
}

/// Starts nginx on the PC, with what is in the folder `root`.
pub fn serve(stage: &mut Stage, port: u16) -> Result<()> {
    let place = stage.path("").display().to_string();
    let settings = format!(
        "daemon off;\npid {place}nginx.pid;\nerror_log stderr;\nworker_processes 1;\n\
         events {{ worker_connections 768; }}\n\
         http {{\n\
           access_log off;\n\
           keepalive_requests 1000000;\n\
           client_body_temp_path {place}body;\nproxy_temp_path {place}proxy;\n\
           fastcgi_temp_path {place}fastcgi;\nuwsgi_temp_path {place}uwsgi;\n\
           scgi_temp_path {place}scgi;\n\
           server {{ listen 0.0.0.0:{port}; root {place}root; }}\n\
         }}\n"
    );
    fs::write(stage.path("nginx.conf"), settings)?;
    let mut nginx = stage.on_pc("nginx");
    nginx.args(["-p", &place, "-c", "nginx.conf", "-e", "stderr"]);
    stage.serve("nginx", nginx, port)
}

/// Has wrk fetch the page for some seconds.
fn wrk(
    stage: &mut Stage,
    size: Size,
    door: SocketAddr,
    what: &'static str,
    header: Option<&str>,
) -> Result<Figure> {
    let mut wrk = stage.on_phone("wrk");
    wrk.args(["-t", "1", "-c", "32", "-d", size.pick("4s", "10s"), "--timeout", "30s"]);
    if let Some(header) = header {
        wrk.args(["-H", header]);
    }
    wrk.arg(format!("http://{door}/page"));
    // Few on any machine: wrk goes by time.
    let done = stage.carry(&mut wrk, 500 * PAGE as u64)?;
    let faults = ["Socket errors", "Non-2xx"];
    if let Some(line) = done.text.lines().find(|line| faults.iter().any(|it| line.contains(it))) {
        return Err(format!("wrk: {what}: {}", line.trim()).into());
    }
    let rate = done.text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    let value = rate.ok_or_else(|| format!("no rate in {}", done.text))?.trim().parse()?;
    Ok(Figure { what, value, unit: "requests/s" })
}
