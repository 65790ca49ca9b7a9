//! What is told on stderr as JSON.

use serde_json::Value;

use crate::process::{Byway, Relay};

/// Each line as a document with these fields.
fn documents(lines: &[String]) -> Vec<Value> {
    let read = |line: &String| {
        let document: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
        for field in ["timestamp", "level", "target"] {
            assert!(document[field].is_string(), "{field} in {line}");
        }
        assert!(document["fields"]["message"].is_string(), "a message in {line}");
        document
    };
    lines.iter().map(read).collect()
}

#[test]
fn json_log_has_a_document_in_each_line_for_programs_and_for_people() {
    let args = [
        "relay",
        "--listen",
        "127.0.0.1:0",
        "--metrics",
        "127.0.0.1:0",
        "-vv",
        "--log-format",
        "json",
    ];
    let mut relay = Relay::of(Byway::start(args));
    relay.wait_told("metrics at");
    let mut connect = Byway::start_by(
        "export BYWAY_LOG_FORMAT=json; exec \"$@\"",
        ["connect", "nobody:1", "--timeout", "1", "--relay", &relay.url],
    );
    drop(connect.stdin());
    let ended = connect.end();
    ended.expect_code(3);
    let told = documents(&ended.told);
    let last = told.last().expect("an error");
    assert_eq!(last["level"], "ERROR");
    let message = last["fields"]["message"].as_str().expect("text");
    assert!(message.contains("nobody listens"), "{message}");

    relay.signal("TERM");
    let (ended, _) = relay.end();
    let told = documents(&ended.told);
    let levels: Vec<_> = told.iter().filter_map(|document| document["level"].as_str()).collect();
    assert!(levels.contains(&"INFO") && levels.contains(&"DEBUG"), "{levels:?}");
    assert!(
        told.iter().any(|document| document["fields"]["why"].is_string()),
        "fields of their own"
    );
}

#[test]
fn unknown_format_of_the_log_is_told() {
    let args = ["relay", "--listen", "127.0.0.1:0"];
    let ended = Byway::start_by("export BYWAY_LOG_FORMAT=xml; exec \"$@\"", args).end();
    ended.expect_code(2).expect_line(&["BYWAY_LOG_FORMAT", "xml", "text or json"]);
}
