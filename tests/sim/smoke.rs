use byway::Kind;
use byway::session::Profile;

use crate::app::Plan;
use crate::world::World;

#[test]
fn a_byte_each_way() {
    let mut w = World::new(1);
    let a = w.peer(Profile::TINY);
    let b = w.peer(Profile::TINY);
    w.listen(b, "camera:1", Kind::Stream);
    w.connect(a, "camera:1", Kind::Stream, b, [Plan::bytes(1), Plan::bytes(1)]);
    w.finish(10_000);
}
