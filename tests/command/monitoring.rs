//! What examples/deploy has for Prometheus and Grafana: it asks for what a relay tells, and Prometheus takes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;

use serde_json::Value;

use crate::metrics::relay_with;
use crate::process::not_run;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).expect("its text")
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("byway_relay_")).collect()
}

/// The queries of the dashboard.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("byway-grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    // A row that is folded has its panels within.
    let panels = panels
        .flat_map(|panel| panel["panels"].as_array().map_or(slice::from_ref(panel), Vec::as_slice));
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect()
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_a_relay_tells() {
    // Its bus is away, and it tells of its part in the cluster all the same.
    let (_relay, watch) = relay_with(&["--cluster", "nats://127.0.0.1:1"]);
    let metrics = watch.ask("/metrics", "").text;
    let told = names(&metrics);
    let queries = queries().join("\n");
    let (asked, alerts) = (names(&queries), read("byway-alerts.yml"));
    let tested = read("byway-alerts-test.yml");
    assert!(asked.len() > 25, "{asked:?}");
    for (file, asked) in
        [("dashboard", asked), ("alerts", names(&alerts)), ("their test", names(&tested))]
    {
        let unknown: Vec<_> = asked.difference(&told).collect();
        assert!(unknown.is_empty(), "the {file} asks for {unknown:?}");
    }
}

#[test]
fn prometheus_takes_the_rules_and_the_queries_of_the_dashboard() {
    let promtool =
        |args: &[&str]| Command::new("promtool").args(args).current_dir(deploy("")).output();
    if promtool(&["--version"]).is_err() {
        not_run("alert rules and dashboard by promtool: there is none (Debian's prometheus)");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let recorded = directory.path().join("queries.yml");
    let rule = |(n, query): (usize, String)| {
        let query = query.replace("$__rate_interval", "5m").replace("$instance", ".*");
        format!("      - {{ record: 'byway:query{n}', expr: '{query}' }}\n")
    };
    let rules: String = queries().into_iter().enumerate().map(rule).collect();
    let text = format!("groups:\n  - name: dashboard\n    rules:\n{rules}");
    std::fs::write(&recorded, text).expect("written");
    for args in [
        ["check", "rules", "byway-alerts.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "byway-alerts-test.yml"],
        ["check", "rules", recorded.to_str().expect("UTF-8")],
    ] {
        let checked = promtool(&args).expect("it runs");
        let told = [checked.stdout, checked.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(checked.status.success(), "{args:?}: {}", told.concat());
    }
}
