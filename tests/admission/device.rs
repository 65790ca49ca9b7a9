use std::io::{Read, Write};
use std::thread;

use byway::Kind;
use byway::device::{Device, RelayAddress, Sockets};
use byway::error::Blocked;
use byway::secure::{Identity, Secret};
use byway::session::{Security, Settings, Single, Storage};
use tcp::{Tcp, Watch};

use super::*;

#[allow(dead_code)]
#[path = "../device/tcp.rs"]
mod tcp;

#[test]
fn device_shows_its_token_as_a_header_field() {
    let good = token(1);
    let relay = relay(good.policy());
    let client = client(&relay, &good);
    let listener = client.listen("echo:1").unwrap();
    let echo = thread::spawn(move || {
        let mut stream = listener.accept_timeout(LONG).unwrap();
        let mut word = [0; 5];
        stream.read_exact(&mut word).unwrap();
        stream.write_all(&word).unwrap();
        stream.wait_acked(LONG).unwrap();
    });
    let authority = relay.local_addr().to_string();
    let fields = format!("Authorization: Bearer {}\r\n", good.token());
    let place = RelayAddress { fields: &fields, ..RelayAddress::new(&authority) };
    assert!(!format!("{place:?}").contains(&good.token()[6..]));
    let mut memory: Storage<2, 2_048, 1, Single> = Storage::new();
    let mut head = [0; 512];
    let device = Device::new(memory.session(), Tcp::new(relay.local_addr()), place, &mut head);
    let mut sockets = Sockets::new(device, Watch::new());
    sockets.set_timeout(LONG.as_millis() as u32);
    sockets.open(&Settings::new([1; 16], 1));
    sockets.encrypt(Security::new(&Identity::from_seed([1; 32]), Secret::new([2; 32])));
    let id = sockets.connect("echo:1".parse().unwrap(), Kind::Stream, b"").unwrap();
    let mut stream = sockets.stream(id);
    embedded_io::Write::write_all(&mut stream, b"hello").unwrap();
    let mut word = [0; 5];
    embedded_io::Read::read_exact(&mut stream, &mut word).unwrap();
    assert_eq!(&word, b"hello");
    echo.join().unwrap();
}

#[test]
fn device_without_a_valid_token_is_told_so() {
    let relay = relay(token(1).policy());
    let authority = relay.local_addr().to_string();
    for fields in ["", "Authorization: Bearer x\r\n", "Byway-Token: x\r\n"] {
        let place = RelayAddress { fields, ..RelayAddress::new(&authority) };
        let mut memory: Storage<2, 2_048, 1, Single> = Storage::new();
        let mut head = [0; 512];
        let device = Device::new(memory.session(), Tcp::new(relay.local_addr()), place, &mut head);
        let mut sockets = Sockets::new(device, Watch::new());
        sockets.set_timeout(500);
        sockets.open(&Settings::new([1; 16], 1));
        let error = sockets.connect("echo:1".parse().unwrap(), Kind::Stream, b"").unwrap_err();
        assert_eq!(error, Blocked::Http(401).into());
    }
}
