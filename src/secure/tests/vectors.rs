//! Vectors that other implementations made: `vectors.py` beside this file prints what follows the struct.

pub struct Vector {
    pub seed: [u8; 32],
    pub key: &'static str,
    pub name: &'static str,
    pub x25519_secret: &'static str,
    pub x25519_public: &'static str,
    pub session: &'static str,
    pub host: &'static str,
    pub signature: &'static str,
    /// Whether the scalar that signs is the negative of the clamped one.
    pub is_negated: bool,
}

pub const VECTORS: [Vector; 4] = [
    Vector {
        seed: [0; 32],
        key: "389989acb1aa6dc609da13a7a8cc6a256f16b8f88337032e32ca1a74b6b55161",
        name: "k.OJmJrLGqbcYJ2hOnqMxqJW8WuPiDNwMuMsoadLa1UWE",
        x25519_secret: "889b495b20dfa03e9886e2cc90ba4d41316ff4b82dfcccc5a735641dd741197c",
        x25519_public: "7a65aa010a068e6ebde25f3111cbbce7e09e6a77a8f1c46c7d969d630d832839",
        session: "000102030405060708090a0b0c0d0e0f",
        host: "relay.example.org",
        signature: "3fc3c592ef72bd4212f1aa10aa66be3ff2e9668009f6181a24fe51e5d19825be38e9fc66f674f9e98e8630407145b2feec342f7c8734a5dbbb29b965d9927c08",
        is_negated: true,
    },
    Vector {
        seed: [1; 32],
        key: "b9e68b349d3578767c0ab7b404de9c92fdc54755a0efa99312d8b1e3f884314c",
        name: "k.ueaLNJ01eHZ8Cre0BN6ckv3FR1Wg76mTEtix4_iEMUw",
        x25519_secret: "70e9a94db34a734e145131a40502786190994a956efbe0cf7ace1f07f9b7aa5d",
        x25519_public: "9c6ce6febc2a8392a55d5c6f9b58a1aa56004cacf9ff01c57513038d196ae478",
        session: "101112131415161718191a1b1c1d1e1f",
        host: "192.0.2.7",
        signature: "4f5e29ad838f1806e7ac9691830664f3ba90439d8ea0220e8f72f006613f021010956d23ed1ab77371319d108499ed4a03f24aaee6de31bb627ed4c70731e304",
        is_negated: false,
    },
    Vector {
        seed: [2; 32],
        key: "2b0fef3760126a16e9f6ed0e94ac1ffe7602d3678f8eb9e0bc0b69a11fa9870c",
        name: "k.Kw_vN2ASahbp9u0OlKwf_nYC02ePjrngvAtpoR-phww",
        x25519_secret: "c0e9a52ffc449503a3fc8ac9b5c43bc1c7d3aba96ef417946966124bdb4cb977",
        x25519_public: "5db57d6bd4dfa0fc3139fa4ec8e8537a9ed05b20375c69bd3fb0cdc73ef7d369",
        session: "202122232425262728292a2b2c2d2e2f",
        host: "2001:db8::1",
        signature: "1e5970ac0d59edc6c76ebac3cf60330cad2cb76d434324915ccfbcc76785edf369992bd11f20bd7ff6984b409ef3b6305c9e3c3abb8261ad8d52f93e03fdba02",
        is_negated: false,
    },
    Vector {
        seed: [3; 32],
        key: "31d6ab9838d48f27e7e50c7fe41d0fbf57037ed63678e7a28f0b3eceff794749",
        name: "k.MdarmDjUjyfn5Qx_5B0Pv1cDftY2eOeijws-zv95R0k",
        x25519_secret: "d8bcf2309e66bfea43174d5b6d6bf12553a6c79c3db4b1e892f73cd0e6ed3155",
        x25519_public: "ef529cf0d015dff15d76dfe0a6edd2250478020f72be6d88c9bf5ae93811db73",
        session: "303132333435363738393a3b3c3d3e3f",
        host: "localhost",
        signature: "2e622f3a8bffcab676301047744d8f1f6a01cff4fd0648d1affe95555304bb42857bd48737e32644994f2055dd3d092dd716558816113af6707703d059d7d200",
        is_negated: true,
    },
];
