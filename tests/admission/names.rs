use byway::error::ConfigError;

use super::*;

/// The policy lines of a token with other lists.
fn lines(token: &NewToken, listen: &str, connect: &str) -> String {
    let lines = token.policy().replace("listen = [\"*\"]", &format!("listen = [{listen}]"));
    lines.replace("connect = [\"*\"]", &format!("connect = [{connect}]"))
}

#[test]
fn another_tenant_neither_takes_nor_reaches_names() {
    let (cameras, viewers) = (token(1), token(2));
    let relay = relay(&format!(
        "{}{}",
        lines(&cameras, "\"camera-*:1\"", ""),
        lines(&viewers, "", "\"camera-*\"")
    ));
    let (camera, viewer) = (client(&relay, &cameras), client(&relay, &viewers));
    let forbidden = byway::Error::from(ConfigError::Forbidden);
    let listener = camera.listen("camera-1:1").unwrap();
    assert_eq!(viewer.listen("camera-2:1").unwrap_err(), forbidden);
    for name in ["camera-1:2", "door:1", "camera-:11"] {
        assert_eq!(camera.listen(name).unwrap_err(), forbidden, "{name}");
    }
    assert_eq!(camera.connect("camera-1:1").unwrap_err(), forbidden);
    assert_eq!(viewer.connect("door:1").unwrap_err(), forbidden);
    let _stream = viewer.connect("camera-1:1").unwrap();
    listener.accept_timeout(LONG).unwrap();
    assert!(relay.stats().forbidden >= 6);
}

#[test]
fn listener_whose_name_the_policy_takes_away_is_told() {
    let camera = token(1);
    let relay = relay(camera.policy());
    let client = client(&relay, &camera);
    let listener = client.listen("camera:1").unwrap();
    relay.set_policy(policy(&lines(&camera, "", "\"*\"")));
    // An answer that stands lasts to its hold; another name has the client ask anew.
    assert_eq!(client.listen("door:1").unwrap_err(), ConfigError::Forbidden.into());
    assert_eq!(listener.accept_timeout(LONG).unwrap_err(), ConfigError::Forbidden.into());
}
