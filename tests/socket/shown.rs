//! What `Debug` shows of values that hold secrets: panics, logs and crash reports have it.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use byway::client::{Client, Config};
use byway::relay::router::{Router, RouterConfig};
use byway::relay::{Relay, RelayConfig};
use byway::secure::{HostDigest, Identity, KeyProof, Secret};
use byway::session::{HeapStorage, Lane, Profile, Security, Settings};
use byway::transport::{HttpConfig, Proxy, Token};
use byway::wire::{ChannelKind, Hello, HelloFlags, ListenReq, MAX_CONTROL, Message, VERSION};
use byway::{Endpoint, Kind};

/// The octet of all secrets here: `173`, `0xad`.
const OCTET: u8 = 173;

/// The text of all secrets here.
const TEXT: &str = "hush-hush";

/// Fields of these names hold secrets, unless their type hides them.
const SECRET: [&str; 8] =
    ["secret", "seed", "owner", "entropy", "password", "authorization", "headers", "bearer"];

/// Types that show what is in them.
const OPEN: [&str; 6] = ["[u8;", "u64", "String", "Vec<u8>", "Vec<(String", "&'a [u8"];

/// Fields whose types derive `Debug`, but are shown by nothing outside: the router shows its numbers alone.
const INNER: [&str; 1] = ["Holder.owner"];

fn shows_no_secret(text: &str) {
    for secret in ["173, 173", "173,\n", "adad", "ad, ad", TEXT] {
        let Some(at) = text.to_lowercase().find(secret) else { continue };
        panic!("shown behind {}", text.get(at.saturating_sub(200)..at).unwrap_or_default());
    }
}

#[test]
fn debug_of_what_holds_secrets_shows_none() {
    let identity = Identity::from_seed([OCTET; 32]);
    let secret = [OCTET; 16];
    let mut settings = Settings::new(secret, 5);
    settings.owner = secret;
    settings.key_proof = Some(KeyProof::new(&identity, &secret, HostDigest::of("relay")));
    let keys = Security::new(&identity, Secret::new([OCTET; 32]));
    let keys = keys.with_shared_secret(Secret::new([OCTET; 32]));
    let proxy = Proxy::Url(format!("http://user:{TEXT}@proxy.example:3128"));
    let headers = vec![("X-Key".into(), TEXT.into())];
    let token = Some(Token::value(TEXT));
    let mut http = HttpConfig::new("http://127.0.0.1:1");
    (http.proxy, http.headers, http.token) = (proxy.clone(), headers.clone(), token.clone());
    let relay = Relay::bind(RelayConfig::default()).unwrap();
    let config = Config {
        owner: Some(secret),
        seed: Some([OCTET; 24]),
        identity: Some(identity.clone()),
        shared_secret: Some(Secret::new([OCTET; 32])),
        headers: headers.clone(),
        token: token.clone(),
        ..Config::new(relay.url())
    };
    let client = Client::open(config.clone()).unwrap();
    let hello = Hello {
        version: VERSION,
        flags: HelloFlags::default(),
        secret,
        seq: 1,
        hold_ms: 0,
        max_response: 512,
    };
    let Endpoint { name, port } = "camera:1".parse().unwrap();
    let claim = ListenReq {
        claim: 1,
        kind: ChannelKind::plain(Kind::Stream),
        port,
        owner: secret,
        epoch: 1,
        backlog: 1,
        heard: None,
        name,
    };
    let mut storage = HeapStorage::new(&Profile::TINY).unwrap();
    let mut session = storage.session();
    session.open(1, &settings);
    session.encrypt(keys.clone());
    let listener = session.listen(1, Endpoint { name, port }, Kind::Stream, 1);
    // A request is in hand, with the secret; what was written is in a ring.
    let id = session.connect(1, Endpoint { name, port }, Kind::Stream, &secret).unwrap();
    let exchange = session.poll_exchange(1, Lane::Send).unwrap();
    session.poll_body(1, Lane::Send, &mut [0; 9]);
    let mut router = Router::new(RouterConfig::default(), 0);
    let request = router.handle_open(0);
    let mut body = [0; MAX_CONTROL];
    let len = Message::Hello(hello).encode(&mut body).unwrap();
    router.handle_body(0, request, &mut Bytes::copy_from_slice(&body[..len - 1]));
    let shown = [
        format!("{identity:?} {keys:?} {settings:?} {session:?} {listener:?} {id:?} {exchange:?}"),
        format!("{proxy:?} {http:?} {config:?} {client:?} {relay:?} {token:?}"),
        format!("{:?} {:?}", Message::Hello(hello), Message::ListenReq(claim)),
        format!("{router:?} {storage:?}"),
        format!("{settings:#?} {hello:#?} {claim:#?} {config:#?}"),
    ];
    for text in shown {
        shows_no_secret(&text);
    }
}

fn sources(of: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(of).expect("a directory").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|name| name == "rs") => found.push(path),
            false => {}
        }
    }
}

/// Fields that a derived `Debug` shows although they hold secrets, as `Type.field`.
fn shown_by_derives(source: &str) -> Vec<String> {
    let (mut derives, mut of) = (false, None);
    let mut shown = Vec::new();
    for line in source.lines().map(str::trim) {
        let declared = line.strip_prefix("pub ").unwrap_or(line);
        let declared = declared.rsplit_once(") ").map_or(declared, |(_, rest)| rest);
        if line.starts_with("#[derive(") {
            derives = line.contains("Debug");
        } else if let Some(rest) = declared.strip_prefix("struct ") {
            let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            of = derives.then(|| rest[..end].to_owned());
            derives = false;
        } else if line == "}" {
            of = None;
        } else if let Some(of) = &of
            && let Some((name, kind)) = declared.split_once(": ")
            && SECRET.contains(&name)
            && OPEN.iter().any(|open| kind.trim_start_matches("Option<").starts_with(open))
        {
            shown.push(format!("{of}.{name}"));
        }
    }
    shown
}

/// The name at an end of a piece of source, such as `owner` of `self.owner`.
fn name_at(text: &str, end: bool) -> &str {
    let is_other = |c: char| !c.is_alphanumeric() && c != '_';
    let path = |c: char| is_other(c) && !".&*()".contains(c);
    match end {
        true => &text[text.rfind(is_other).map_or(0, |at| at + 1)..],
        false => {
            let text = text.split(path).next().unwrap_or_default();
            text.rsplit(is_other).find(|name| !name.is_empty()).unwrap_or_default()
        }
    }
}

/// Lines that compare a secret with `==`, which ends at the first octet that differs. A `Secret` does not,
/// and whether there is one at all is no secret.
fn compared(source: &str) -> Vec<String> {
    let compares = |line: &&str| {
        ["==", "!="].iter().filter_map(|op| line.split_once(op)).any(|(left, right)| {
            let (left, right) = (left.trim_end(), right.trim_start());
            let is_harmless = ["[0;", "Secret::"].iter().any(|text| right.starts_with(text));
            let names = [name_at(left, true), name_at(right, false)];
            !is_harmless && names.iter().any(|name| SECRET.contains(name))
        })
    };
    source.lines().filter(compares).map(str::to_owned).collect()
}

#[test]
fn no_secret_is_compared_by_its_octets() {
    for found in ["if holder.owner == owner {", "a == b.secret", "seed != *self.seed"] {
        assert_eq!(compared(found).len(), 1, "{found}: the search finds what it is for");
    }
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in files.iter().filter(|file| !file.iter().any(|part| part == "tests")) {
        let source = fs::read_to_string(file).expect("readable");
        assert_eq!(compared(&source), [""; 0], "{}: by subtle::ConstantTimeEq", file.display());
    }
}

#[test]
fn no_type_with_a_secret_derives_debug() {
    let derived = "#[derive(Debug)]\npub(super) struct A {\n    pub secret: [u8; 16],\n}";
    assert_eq!(shown_by_derives(derived), ["A.secret"], "the search finds what it is for");
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut shown = Vec::new();
    for file in files.iter().filter(|file| !file.iter().any(|part| part == "tests")) {
        let source = fs::read_to_string(file).expect("readable");
        shown.extend(shown_by_derives(&source));
    }
    shown.retain(|field| !INNER.contains(&field.as_str()));
    assert!(shown.is_empty(), "{shown:?}: have Debug leave them out, or keep them in a Secret");
}
