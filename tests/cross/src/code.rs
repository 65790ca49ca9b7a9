//! What a device does with a session: connects and listens, writes and reads, on one HTTP client
//! that is not part of the figure.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use byway::error::Blocked;
use byway::session::{Event, Exchange, Half, Lane, Session, Settings, Storage, Wake};
use byway::{Endpoint, Error, Kind};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// The surroundings of the session. They have no implementation here, so that no call is optimised
/// away.
pub trait Device {
    fn now(&mut self) -> u64;
    fn settings(&mut self) -> Settings;
    fn endpoint(&mut self) -> &str;
    fn begin(&mut self, exchange: &Exchange);
    fn up(&mut self, octets: &[u8]);
    /// Reads octets of the answer; none at its end.
    fn down(&mut self) -> Result<&[u8], Blocked>;
    fn wake(&mut self, wake: Wake);
    fn event(&mut self, event: Event);
    /// The octets that the application writes next, and the buffer into which it reads.
    fn output(&mut self) -> &[u8];
    fn input(&mut self) -> &mut [u8];
    fn wait(&mut self, until: Option<u64>);
}

/// The entry of the program.
// SAFETY: no other symbol has that name.
#[unsafe(no_mangle)]
fn run(storage: &mut Storage<2, 1024, 1>, device: &mut dyn Device) -> Result<(), Error> {
    let mut session = storage.session();
    let now = device.now();
    session.open(now, &device.settings());
    let endpoint = Endpoint::try_from(device.endpoint())?;
    let listener = session.listen(now, endpoint, Kind::Stream, 1)?;
    let endpoint = Endpoint::try_from(device.endpoint())?;
    let dialled = session.connect(now, endpoint, Kind::Stream, &[])?;
    let mut accepted = None;
    while !session.is_closed() {
        for lane in [Lane::Park, Lane::Send] {
            exchange(&mut session, device, lane);
        }
        let now = device.now();
        session.handle_timeout(now);
        while let Some(wake) = session.poll_wake() {
            device.wake(wake);
        }
        while let Some(event) = session.poll_event() {
            device.event(event);
        }
        if let Some(id) = session.accept(now, listener)? {
            accepted = Some(id);
        }
        if session.connected(dialled)? {
            for id in [Some(dialled), accepted].into_iter().flatten() {
                session.write(now, id, device.output())?;
                if session.read(now, id, device.input())? == Some(0) {
                    session.shutdown(now, id, Half::Write)?;
                    session.close(now);
                }
            }
        }
        device.wait(session.poll_timeout(Lane::Park).min(session.poll_timeout(Lane::Send)));
    }
    Ok(())
}

fn exchange(session: &mut Session<'_>, device: &mut dyn Device, lane: Lane) {
    let now = device.now();
    let Some(exchange) = session.poll_exchange(now, lane) else { return };
    device.begin(&exchange);
    let mut octets = [0; 128];
    loop {
        match session.poll_body(now, lane, &mut octets) {
            0 => break,
            n => device.up(&octets[..n]),
        }
    }
    loop {
        let now = device.now();
        let came = match device.down() {
            Ok([]) => {
                let _ = session.handle_finished(now, lane);
                return;
            }
            Ok(octets) => session.handle_response(now, lane, octets),
            Err(cause) => Err(cause),
        };
        if let Err(cause) = came {
            return session.handle_failure(now, lane, cause, true);
        }
    }
}
