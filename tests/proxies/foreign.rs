//! Answers that no relay wrote, as nginx gives them.

use std::time::Duration;

use byway::client::{Client, ClientEvent, Config};
use byway::error::{Blocked, Error, TransportError};
use byway::session::Pace;
use byway::transport::Proxy;

use crate::daemon::{Daemon, wait_for, write};
use crate::{DEADLINE, PACES, carry, client, join, relay};

fn nginx(relay: u16) -> Daemon {
    Daemon::nginx(|at, port| {
        write(at, "mode", "");
        format!(
            "log_format credentials '$status <$http_proxy_authorization> <$http_authorization>';\n\
             server {{\nlisten 127.0.0.1:{port};\naccess_log {0}/access credentials;\n\
             include {0}/mode;\n\
             location / {{ proxy_pass http://127.0.0.1:{relay}; }}\n\
             location /moved/ {{ return 307 http://127.0.0.1:{relay}$request_uri; }}\n\
             location /asks/ {{ add_header Proxy-Authenticate 'Basic realm=x' always; return 407; }}\n\
             location /login/ {{ default_type text/html; return 200 '<title>Log in</title>'; }}\n\
             }}",
            at.display()
        )
    })
}

#[test]
fn redirects_are_not_followed_and_get_no_password() {
    let relay = relay();
    let nginx = nginx(relay.local_addr().port());
    let asked = |path: &str| {
        let config = Config {
            open_timeout: Duration::from_secs(2),
            proxy: Proxy::Direct,
            ..Config::new(nginx.url() + path)
        };
        Client::open(config).expect_err("no relay there")
    };
    let blocked = |cause| Error::Transport(TransportError::Blocked(cause));
    assert_eq!(asked("/moved"), blocked(Blocked::Http(307)));
    assert_eq!(asked("/login"), blocked(Blocked::Foreign));
    asked("/asks");
    let noted = wait_for("note of the last answer", || {
        Some(nginx.access()).filter(|access| access.contains("407"))
    });
    assert!(noted.lines().all(|line| line.ends_with(" <-> <->")), "{noted}");
    assert_eq!(
        relay.stats().sends + relay.stats().parks,
        0,
        "a redirect was followed: {:?} {noted}",
        relay.stats()
    );
}

#[test]
fn portal_blocks_the_path_and_the_event_shows_it() {
    for pace in PACES {
        portal(pace);
    }
}

fn portal(pace: Pace) {
    let relay = relay();
    let nginx = nginx(relay.local_addr().port());
    let one = client(pace, Config::new(nginx.url()));
    let other = client(pace, Config::new(relay.url()));
    let (a, b) = join(&one, &other);
    carry(&a, &b, 100_000);

    let page = "location = /v1 { default_type text/html; return 200 '<title>Log in</title>'; }";
    let at = nginx.path("");
    write(&at, "mode", page);
    nginx.signal("HUP");
    let seen = event(&one, |event| match event {
        ClientEvent::PathBlocked { cause: Blocked::Foreign, seen } => Some(seen),
        _ => None,
    });
    assert!(seen.contains("200 text/html") && seen.contains("Log in"), "{seen:?}");
    write(&at, "mode", "");
    nginx.signal("HUP");
    event(&one, |event| (event == ClientEvent::PathRestored).then_some(()));
    carry(&a, &b, 100_000);
}

/// Waits for an event.
fn event<T>(client: &Client, is: impl Fn(ClientEvent) -> Option<T>) -> T {
    loop {
        let event = client.next_event(DEADLINE).expect("an event");
        if let Some(found) = is(event) {
            return found;
        }
    }
}
