use super::*;
use crate::wire::Endpoint;

fn token(name: &str, random: u8) -> NewToken {
    NewToken::new(name, &[random; 32])
}

fn endpoint(text: &str) -> Endpoint {
    Endpoint::try_from(text).unwrap()
}

#[test]
fn token_is_let_in_by_its_own_policy_lines_and_by_either_header() {
    let token = token("cameras", 7);
    let admission = admission(token.policy());
    let grant = admit(&admission, token.token()).unwrap();
    assert_eq!(&**grant.holder(), "cameras");
    let mut own = HeaderMap::new();
    own.insert(TOKEN_FIELD, HeaderValue::from_str(token.token()).unwrap());
    own.insert(AUTHORIZATION, HeaderValue::from_static("Basic dXNlcjp3b3Jk"));
    assert!(admission.admit(&own, &FAR).is_ok_and(|grant| grant.is_some()));
    let mut both = headers("bearer");
    both.append(AUTHORIZATION, HeaderValue::from_static("bearer x"));
    assert_eq!(admission.admit(&both, &FAR).unwrap_err(), Denial::BadToken);
    assert_eq!(admission.admit(&HeaderMap::new(), &FAR).unwrap_err(), Denial::NoToken);
    assert_eq!(admit(&admission, "").unwrap_err(), Denial::NoToken);
    let stats = admission.stats();
    assert_eq!((stats.without_token, stats.refused), (2, 1));
}

#[test]
fn bearer_confined_at_a_relay_is_not_let_in_by_another_without_a_policy() {
    let token = token("cameras", 7);
    let shown = Some(token.token().as_bytes());
    let with = admission(token.policy());
    assert!(with.admit_again(shown, &FAR).is_ok_and(|grant| grant.is_some()));
    assert_eq!(with.admit_again(None, &FAR).unwrap_err(), Denial::NoToken);
    for without in [RelayAccess::Open, RelayAccess::Loopback] {
        let without = Admission::new(&without);
        assert_eq!(without.admit_again(shown, &FAR).unwrap_err(), Denial::BadToken);
        assert!(without.admit_again(None, &FAR).is_ok_and(|grant| grant.is_none()));
    }
}

#[test]
fn tokens_that_differ_in_any_octet_are_refused() {
    let token = token("cameras", 7);
    let admission = admission(token.policy());
    for at in 0..token.token().len() {
        let mut other = token.token().to_owned().into_bytes();
        other[at] = if other[at] == b'x' { b'y' } else { b'x' };
        let other = String::from_utf8(other).unwrap();
        assert_eq!(admit(&admission, &other).unwrap_err(), Denial::BadToken, "{at}");
    }
    let long = "x".repeat(MAX_TOKEN + 1);
    assert_eq!(admit(&admission, &long).unwrap_err(), Denial::BadToken);
}

#[test]
fn another_policy_holds_from_the_next_request_on() {
    let (old, new) = (token("old", 1), token("new", 2));
    let admission = admission(old.policy());
    admit(&admission, old.token()).unwrap();
    admission.set_policy(Arc::new(Policy::parse(new.policy()).unwrap()));
    assert_eq!(admit(&admission, old.token()).unwrap_err(), Denial::BadToken);
    admit(&admission, new.token()).unwrap();
}

#[test]
fn patterns_name_endpoints() {
    for (pattern, fitting, others) in [
        ("*", &["a:1", "camera.7:65535"][..], &[][..]),
        ("camera", &["camera:1", "camera:0"], &["camera2:1", "cam:1", "Camera:1"]),
        ("camera:1", &["camera:1"], &["camera:11", "camera:0", "xcamera:1"]),
        ("cam*:1", &["cam:1", "camera:1", "cam.x-y_z:1"], &["ca:1", "xcam:1"]),
        ("*-eu-*:80*", &["a-eu-b:80", "-eu-:8080"], &["a-us-b:80", "a-eu-b:90"]),
        ("a*b*c", &["abc:1", "aXbXc:1", "abbcbc:1"], &["ab:1", "acb:1"]),
    ] {
        let lines =
            token("x", 3).policy().replace("listen = [\"*\"]", &format!("listen = [{pattern:?}]"));
        let grant = admit(&admission(&lines), token("x", 3).token()).unwrap();
        for name in fitting {
            assert!(grant.may_listen(&endpoint(name)), "{pattern} {name}");
        }
        for name in others {
            assert!(!grant.may_listen(&endpoint(name)), "{pattern} {name}");
            assert!(grant.may_connect(&endpoint(name)));
        }
    }
}

#[test]
fn patterns_of_many_stars_take_no_time() {
    let pattern = "a*".repeat(500);
    let lines =
        token("x", 3).policy().replace("listen = [\"*\"]", &format!("listen = [{pattern:?}]"));
    let grant = admit(&admission(&lines), token("x", 3).token()).unwrap();
    assert!(!grant.may_listen(&endpoint(&format!("{}b:1", "a".repeat(47)))));
}

#[test]
fn lists_that_are_left_out_give_nothing() {
    let lines =
        token("x", 3).policy().replace("listen = [\"*\"]", "").replace("connect = [\"*\"]", "");
    let grant = admit(&admission(&lines), token("x", 3).token()).unwrap();
    assert!(!grant.may_listen(&endpoint("a:1")) && !grant.may_connect(&endpoint("a:1")));
}

#[test]
fn faults_of_policies_are_named_with_their_place() {
    let good = token("x", 3).policy().to_owned();
    let key = "keys = [\"-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----\"]\n";
    let issuer = "[[issuer]]\nissuer = \"i\"\naudience = \"a\"\n";
    for (text, told) in [
        (String::new(), "lets nobody in"),
        (good.replace("listen", "listens"), "line 4: unknown field"),
        (good.replace("sha256 = \"", "sha256 = \"0"), "token \"x\": sha256"),
        (good.replace("listen = [\"*\"]", "listen = [\"a b\"]"), "the pattern \"a b\""),
        (good.replace("listen = [\"*\"]", "listen = [\"{sub}\"]"), "the pattern \"{sub}\""),
        (good.replace("listen = [\"*\"]", "listen = [\"a:b\"]"), "its port"),
        (format!("{good}sessions = 0\n"), "line 6"),
        (format!("{good}octets_per_second = 16383\n"), "at least 16384"),
        (format!("{good}{good}"), "another entry"),
        (good.replace("\"x\"", "\"i|s\""), "no |"),
        (format!("{issuer}keys = []\n"), "1 to 8 keys"),
        (format!("{issuer}keys = [\"x\"]\n"), "BEGIN PUBLIC KEY"),
        (format!("{issuer}{key}"), "neither of Ed25519"),
        ("[[token]\n".into(), "line 1"),
    ] {
        let error = Policy::parse(&text).unwrap_err().to_string();
        assert!(error.contains(told) && error.lines().count() == 1, "{error:?} without {told:?}");
    }
}

#[test]
fn debug_shows_no_token_and_no_digest() {
    let token = token("cameras", 7);
    let admission = admission(token.policy());
    let grant = admit(&admission, token.token()).unwrap();
    let sha256 = token.policy().lines().find_map(|line| line.strip_prefix("sha256 = ")).unwrap();
    let shown = format!("{token:?} {admission:?} {grant:?}");
    assert!(!shown.contains(token.token()) && !shown.contains(sha256.trim_matches('"')), "{shown}");
}

#[test]
fn grants_of_entries_that_stay_as_they_are_outlive_a_reload() {
    let (stays, goes, changes) = (token("stays", 1), token("goes", 2), token("changes", 3));
    let before = [stays.policy(), goes.policy(), changes.policy()].concat();
    let admission = admission(&before);
    let grants = [&stays, &goes, &changes].map(|token| admit(&admission, token.token()).unwrap());
    let narrower = changes.policy().replace("connect = [\"*\"]", "connect = [\"a\"]");
    let renamed = token("renamed", 2);
    for (policy, revoked) in [
        (before.clone(), [false, false, false]),
        ([narrower.as_str(), stays.policy(), renamed.policy()].concat(), [false, true, true]),
        ([changes.policy(), stays.policy(), goes.policy()].concat(), [false, true, true]),
        (goes.policy().to_owned(), [true, true, true]),
    ] {
        admission.set_policy(Arc::new(Policy::parse(&policy).unwrap()));
        assert_eq!(grants.each_ref().map(|grant| grant.is_revoked()), revoked, "{policy}");
    }
}

#[test]
fn subjects_in_patterns_stand_for_themselves() {
    for (pattern, subject, fitting, others) in [
        ("{sub}", "a", &["a:1"][..], &["b:1", "aa:1", "A:1"][..]),
        ("{sub}", "*", &[], &["a:1"]),
        ("{sub}-{sub}:7", "ab", &["ab-ab:7"], &["ab-ab:70", "ab-b:7", "ab-:7"]),
        ("*{sub}*", "aab", &["aab:1", "aaab:65535", "xaabx:1"], &["ab:1", "aa:1"]),
        ("x{sub}", "\u{e9}", &[], &["x:1"]),
    ] {
        let pattern = pattern::NamePattern::parse(pattern, true).unwrap();
        for name in fitting {
            assert!(pattern.fits(&endpoint(name), subject), "{pattern:?} {subject} {name}");
        }
        for name in others {
            assert!(!pattern.fits(&endpoint(name), subject), "{pattern:?} {subject} {name}");
        }
    }
}
