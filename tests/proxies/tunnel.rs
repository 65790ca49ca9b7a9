//! A relay behind TLS, through the tunnel of a proxy.

use std::sync::Arc;

use byway::client::{Client, Config};
use byway::error::{Blocked, Error, TransportError};
use byway::transport::{Proxy, Roots};

use crate::daemon::{Daemon, wait_for, write};
use crate::{PACES, carry, client, join, relay};

const LEN: usize = 2 << 20;

/// nginx with TLS for `localhost` before a relay, and the certificate to trust. nginx logs
/// credentials for a proxy, which no request in a tunnel has.
pub fn tls_front(relay: u16) -> (Daemon, String) {
    let (certificate, key) = certificate();
    let pem = Arc::new(certificate);
    let nginx = Daemon::nginx(|at, port| {
        let certificate = write(at, "certificate", &pem);
        let key = write(at, "key", &key);
        format!(
            "log_format credentials '$status <$http_proxy_authorization>';\n\
             server {{\nlisten 127.0.0.1:{port} ssl;\naccess_log {}/access credentials;\n\
             ssl_certificate {};\nssl_certificate_key {};\n\
             location / {{ proxy_pass http://127.0.0.1:{relay}; }}\n\
             location /asks/ {{ return 407; }}\n}}",
            at.display(),
            certificate.display(),
            key.display()
        )
    });
    let pem = pem.to_string();
    (nginx, pem)
}

/// A certificate for `localhost` and its key, as PEM.
pub fn certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

fn config(nginx: &Daemon, pem: &str, proxy: String) -> Config {
    Config {
        roots: Roots::Pem(pem.into()),
        proxy: Proxy::Url(proxy),
        ..Config::new(format!("https://localhost:{}", nginx.port))
    }
}

#[test]
fn tunnel_gives_the_password_to_the_proxy_only() {
    let relay = relay();
    let (nginx, pem) = tls_front(relay.local_addr().port());
    let squid = Daemon::squid(nginx.port, &[("ann", "secret")]);
    for pace in PACES {
        let one = client(pace, config(&nginx, &pem, squid.url_for("ann", "secret")));
        let other = client(pace, Config::new(relay.url()));
        let (a, b) = join(&one, &other);
        carry(&a, &b, LEN);
    }
    let access = wait_for("tunnel's end", || {
        Some(squid.access()).filter(|access| access.contains("TCP_TUNNEL/200"))
    });
    assert!(access.contains(&format!("CONNECT localhost:{}", nginx.port)), "{access}");
    assert!(!access.contains("POST"), "{access}");

    // A server in the tunnel that asks for a password is not the proxy, and does not get it.
    let mut asks = config(&nginx, &pem, squid.url_for("ann", "secret"));
    asks.url += "/asks";
    asks.open_timeout = std::time::Duration::from_secs(2);
    Client::open(asks).expect_err("asks for a password");
    let noted = nginx.access();
    assert!(noted.contains("407 <->") && !noted.contains("<Basic"), "{noted}");
}

#[test]
fn refused_tunnel_says_why() {
    let relay = relay();
    let (nginx, pem) = tls_front(relay.local_addr().port());
    let refusal = |proxy: &Daemon, user: &str| {
        let config = Config {
            open_timeout: std::time::Duration::from_secs(2),
            ..config(&nginx, &pem, proxy.url_for(user, "secret"))
        };
        Client::open(config).expect_err("refused")
    };
    let blocked = |cause| Error::Transport(TransportError::Blocked(cause));
    // This squid does not let this port through.
    let strict = Daemon::squid(443, &[]);
    assert_eq!(refusal(&strict, "ann"), blocked(Blocked::Http(403)));
    let squid = Daemon::squid(nginx.port, &[("ann", "secret")]);
    assert_eq!(refusal(&squid, "bob"), blocked(Blocked::ProxyAuth));
    let ntlm = "auth_param ntlm program /usr/lib/squid/ntlm_fake_auth\n";
    let squid = Daemon::squid_that_asks(nginx.port, |_| ntlm.to_owned());
    let wants = Blocked::ProxyScheme(byway::error::AuthScheme::Ntlm);
    assert_eq!(refusal(&squid, "ann"), blocked(wants));
    assert_eq!(relay.stats().sends, 0);
}
