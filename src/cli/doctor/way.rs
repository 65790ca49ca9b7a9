//! The way up to the first octet of HTTP: proxy, names, TCP, tunnel, TLS.

use std::net::SocketAddr;
use std::time::Instant;

use byway::transport::probe::{ProbeLine, ProbeSocket, ProbeWay, Shown};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Notes;
use super::report::{Check, Step, ms};

/// Tells which proxy is used, and of a PAC file that is not.
pub(super) fn proxy(way: &ProbeWay, notes: &Notes) {
    let seen = match way.proxy() {
        Some((host, port)) if way.is_forwarded() => {
            format!("{host}:{port}, which is to pass requests on")
        }
        Some((host, port)) => format!("{host}:{port}, by CONNECT"),
        None => "none".into(),
    };
    notes.add(Check::ok(Step::Proxy, seen));
    match (pac(), way.proxy()) {
        (None, _) => {}
        (Some(url), Some(_)) => {
            let seen = format!("{url} is not read, as the proxy is known without it");
            notes.add(Check::ok(Step::Pac, seen));
        }
        (Some(url), None) => {
            notes.add(
                Check::limited(Step::Pac, format!("{url} names the proxy, and is not read"))
                    .remedy("look into that file, and give the proxy that it says (--proxy)"),
            );
        }
    }
}

/// The PAC file that the environment or the desktop names.
fn pac() -> Option<String> {
    let named = ["auto_proxy", "AUTO_PROXY"].iter().find_map(|name| std::env::var(name).ok());
    if let Some(url) = named.filter(|url| !url.is_empty()) {
        return Some(url);
    }
    let get = |key| {
        let mut settings = std::process::Command::new("gsettings");
        let output = settings.args(["get", "org.gnome.system.proxy", key]).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().trim_matches('\'').to_owned())
    };
    // Without a desktop nothing answers, or would wait for one.
    std::env::var_os("DBUS_SESSION_BUS_ADDRESS")?;
    let is_auto = get("mode")? == "auto";
    get("autoconfig-url").filter(|url| is_auto && !url.is_empty())
}

/// Goes the way step by step. `None`: a step is blocked.
pub(super) fn go(way: &ProbeWay, notes: &Notes) -> Option<ProbeLine> {
    let (whose, rest) = match way.proxy() {
        Some(_) => ("the proxy", format!("; to it is left what {} is", way.relay().0)),
        None => ("the relay", String::new()),
    };
    let began = Instant::now();
    let addresses = match way.resolve() {
        Ok(addresses) => addresses,
        Err(failure) => {
            notes.add(Check::blocked(Step::Name, &failure));
            return None;
        }
    };
    let v6 = addresses.iter().filter(|address| address.is_ipv6()).count();
    let seen = format!(
        "{whose} has {} of IPv4 and {v6} of IPv6, after {}{rest}",
        addresses.len() - v6,
        ms(began.elapsed())
    );
    notes.add(Check::ok(Step::Name, seen));
    let mut socket = match tcp(way, &addresses, notes) {
        Ok(socket) => socket,
        Err(check) => {
            notes.add(check);
            return None;
        }
    };
    if way.is_tls() && way.proxy().is_some() {
        let began = Instant::now();
        match way.tunnel(&mut socket) {
            Ok(()) => {
                notes.add(Check::ok(
                    Step::Connect,
                    format!("granted after {}", ms(began.elapsed())),
                ));
            }
            Err(failure) => {
                notes.add(Check::blocked(Step::Connect, &failure).remedy(
                    "have the proxy allow CONNECT to the relay's port; most allow 443 alone: run the relay there, or ask it by http://",
                ));
                return None;
            }
        }
    }
    let began = Instant::now();
    let (shown, shaken) = way.shake(socket);
    match shaken {
        Ok(line) => {
            if way.is_tls() {
                notes.add(signed(&shown, &format!("after {}", ms(began.elapsed()))));
            }
            Some(line)
        }
        Err(failure) => {
            let mut check = Check::blocked(Step::Tls, &failure);
            if let Some(issuer) = issuer(&shown) {
                let told = failure.cause.to_string();
                let remedy = told.split_once("; ").map_or("", |(_, remedy)| remedy);
                check = check.remedy(format!("the certificate is of {issuer}: {remedy}"));
            }
            notes.add(check);
            None
        }
    }
}

fn tcp(way: &ProbeWay, addresses: &[SocketAddr], notes: &Notes) -> Result<ProbeSocket, Check> {
    let began = Instant::now();
    let (address, socket) = way.connect(addresses).map_err(|failure| {
        let check = Check::blocked(Step::Tcp, &failure);
        match way.proxy() {
            Some(_) => check.remedy(
                "check that the proxy runs, and its address, which --proxy, BYWAY_PROXY, config.toml or a variable as http_proxy says; --proxy none goes without",
            ),
            None => check,
        }
    })?;
    let time = began.elapsed();
    let seen = format!("{address} after {}", ms(time));
    let was_passed_over =
        addresses.first().is_some_and(|first| first.is_ipv6() != address.is_ipv6());
    notes.add(match was_passed_over {
        true => Check::limited(
            Step::Tcp,
            format!("{seen}; the other family of addresses is silent"),
        )
        .byway("tries the families by turns, and the address that worked first")
        .remedy("mend IPv6 of this network, or take the addresses out of DNS that do not answer"),
        false => Check::ok(Step::Tcp, seen),
    });
    Ok(socket)
}

/// Tells the server's certificate by its issuer.
fn signed(shown: &Shown, after: &str) -> Check {
    let issuer = issuer(shown).unwrap_or_else(|| "an issuer without a name".into());
    match shown.is_public {
        true => Check::ok(Step::Tls, format!("{after}; signed by {issuer}, of the public web")),
        false => Check::ok(
            Step::Tls,
            format!("{after}; signed by {issuer}, which is not of the public web, and trusted here"),
        )
        .remedy(
            "if that is not the relay's own authority, a proxy of that name reads what byway sends; channels stay encrypted from end to end",
        ),
    }
}

/// The issuer of the server's certificate.
pub fn issuer(shown: &Shown) -> Option<String> {
    let (_, own) = X509Certificate::from_der(shown.chain.first()?).ok()?;
    let name = own.issuer().to_string();
    let is_own = own.issuer() == own.subject();
    Some(if is_own { format!("itself ({name})") } else { name })
}
