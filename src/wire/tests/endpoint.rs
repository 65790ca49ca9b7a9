//! Tests of endpoints as text.

use proptest::prelude::*;

use super::*;

#[test]
fn valid_endpoints_are_parsed_and_written() {
    let longest = "x".repeat(MAX_NAME);
    for (text, name, port) in [
        ("camera:1", "camera", 1),
        ("a:0", "a", 0),
        ("A-z_0.9:65535", "A-z_0.9", 65_535),
        ("-:007", "-", 7),
        (&format!("{longest}:80"), &longest, 80),
    ] {
        let endpoint: Endpoint = text.parse().expect(text);
        assert_eq!((endpoint.name.as_str(), endpoint.port), (name, port));
        assert_eq!(endpoint.name.len(), name.len());
        assert_eq!(Endpoint::try_from(text), Ok(endpoint));
        assert_eq!(Endpoint::try_from((name, port)), Ok(endpoint));
        assert_eq!(endpoint.to_string(), format!("{name}:{port}"));
        assert_eq!(format!("{endpoint:?}"), endpoint.to_string());
        assert_eq!(format!("{:?}", endpoint.name), format!("{name:?}"));
    }
}

/// Without the feature firmware could only reach a key name unencrypted.
#[test]
fn key_names_take_the_feature_secure() {
    for text in ["k.x:1", "k.:1", "k..-_:1"] {
        match text.parse::<Endpoint>() {
            Ok(endpoint) => assert!(cfg!(feature = "secure") && endpoint.name.is_key_name()),
            Err(error) => {
                assert_eq!((error, cfg!(feature = "secure")), (EndpointError::KeyName, false));
            }
        }
    }
    for text in ["k:1", "K.x:1", "kk.:1", ".k:1"] {
        assert!(!text.parse::<Endpoint>().expect(text).name.is_key_name());
    }
}

#[test]
fn upper_and_lower_case_differ() {
    assert_ne!(Endpoint::try_from("Camera:1"), Endpoint::try_from("camera:1"));
}

#[test]
fn invalid_endpoints_give_their_error() {
    let too_long = format!("{}:1", "x".repeat(MAX_NAME + 1));
    for (text, error) in [
        ("", EndpointError::NoPort),
        ("camera", EndpointError::NoPort),
        ("camera:", EndpointError::Port),
        ("camera:x", EndpointError::Port),
        ("camera:+1", EndpointError::Port),
        ("camera:-1", EndpointError::Port),
        ("camera: 1", EndpointError::Port),
        ("camera:65536", EndpointError::Port),
        ("camera:99999999999999999999999", EndpointError::Port),
        ("camera:\u{661}", EndpointError::Port),
        (":1", EndpointError::Empty),
        (&too_long, EndpointError::TooLong),
        ("came ra:1", EndpointError::Alphabet),
        ("a:b:1", EndpointError::Alphabet),
        ("[::1]:80", EndpointError::Alphabet),
        ("kamera\u{e9}:1", EndpointError::Alphabet),
        ("a/b:1", EndpointError::Alphabet),
        ("a\0:1", EndpointError::Alphabet),
    ] {
        assert_eq!(text.parse::<Endpoint>(), Err(error), "{text:?}");
        assert_eq!(Endpoint::try_from(text), Err(error), "{text:?}");
    }
    assert_eq!(Endpoint::try_from(("", 1)), Err(EndpointError::Empty));
    assert_eq!(Endpoint::try_from(("a b", 1)), Err(EndpointError::Alphabet));
}

proptest! {
    #[test]
    fn endpoint_survives_text(text in "[A-Za-z0-9._-]{1,48}", port: u16) {
        let endpoint = Endpoint::try_from((&text[..], port)).expect("valid");
        prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
    }

    #[test]
    fn any_text_gives_a_valid_endpoint_or_an_error(text in "\\PC{0,60}") {
        if let Ok(endpoint) = Endpoint::try_from(&text[..]) {
            prop_assert!((1..=MAX_NAME).contains(&endpoint.name.len()));
            prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
    }
}
