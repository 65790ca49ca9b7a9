//! The fields of messages: how each is written and read, and how long it is.

use super::{
    Address, ChannelKind, DataFlags, HelloFlags, MAX_GREETING, MAX_HANDSHAKE, Message, Name,
    Reader, Status, WireError, Writer,
};
use crate::Kind;

/// A field of a payload, or several fields that follow each other.
// Firmware is smallest with every `put` inlined and the writer given back.
pub(super) trait Field<'a>: Sized {
    /// Length of the field in octets. A name or greeting counts as its first octet, which says how many
    /// follow.
    const SIZE: usize;

    /// The number of octets that follow those of [`SIZE`](Self::SIZE): those of a name or greeting.
    fn counted(&self) -> usize {
        0
    }

    /// Writes the field.
    fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o>;

    /// Reads the field.
    fn take(fields: &mut Fields<'a>) -> Self;
}

/// The fields being read. A field that is missing or not valid reads as a harmless value, and is
/// noted: one check at the end is half the code of as many early returns.
pub(super) struct Fields<'a> {
    r: Reader<'a>,
    valid: bool,
}

impl<'a> Fields<'a> {
    pub fn new(payload: &'a [u8]) -> Self {
        Self { r: Reader::new(payload), valid: true }
    }

    /// Notes that a field is not valid unless `condition` holds.
    pub fn require(&mut self, condition: bool) {
        self.valid &= condition;
    }

    fn valid<T>(&mut self, value: Option<T>, else_: T) -> T {
        self.require(value.is_some());
        value.unwrap_or(else_)
    }

    /// Checks that all fields read are valid, and that they are the whole payload.
    pub fn finish(&self, kind: u8, length: u32) -> Result<(), WireError> {
        if self.r.is_short() || self.valid && !self.r.is_empty() {
            return Err(WireError::Length { kind, length });
        }
        if self.valid { Ok(()) } else { Err(WireError::Field { kind }) }
    }
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        impl Field<'_> for $number {
            const SIZE: usize = size_of::<Self>();

            #[inline(always)]
            fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
                w.$number(*self)
            }

            #[inline(always)]
            fn take(fields: &mut Fields<'_>) -> Self {
                fields.r.$number()
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64);

impl<const N: usize> Field<'_> for [u8; N] {
    const SIZE: usize = N;

    #[inline(always)]
    fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
        w.bytes(self)
    }

    #[inline(always)]
    fn take(fields: &mut Fields<'_>) -> Self {
        fields.r.array()
    }
}

/// Octets that stay where they are read, so that a message of many is small.
impl<'a, const N: usize> Field<'a> for &'a [u8; N] {
    const SIZE: usize = N;

    #[inline(always)]
    fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
        w.bytes(*self)
    }

    #[inline(always)]
    fn take(fields: &mut Fields<'a>) -> Self {
        fields.r.array_ref()
    }
}

/// A struct whose fields follow each other on the wire in the order of this list: from the list the
/// struct is written and read, and its length comes. Booleans are bits of the last octet.
macro_rules! layout {
    (<$life:lifetime> $($Type:ty { $($field:ident),* $(; $($flag:ident = $bit:literal),+)? })*) => {$(
        impl<$life> Field<$life> for $Type {
            const SIZE: usize = 0
                $(+ $crate::wire::field::len_of(|s: &Self| &s.$field))*
                $(+ { $(let _ = $bit;)+ u8::SIZE })?;

            fn counted(&self) -> usize {
                0 $(+ self.$field.counted())*
            }

            #[inline(always)]
            fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
                $(let w = self.$field.put(w);)*
                $(let w = w.u8(0 $(| u8::from(self.$flag) * $bit)+);)?
                w
            }

            fn take(fields: &mut Fields<$life>) -> Self {
                layout!(@take fields $($field)* $(; $($flag = $bit)+)?)
            }
        }
    )*};
    (@take $fields:ident $($field:ident)*) => {
        Self { $($field: Field::take($fields)),* }
    };
    (@take $fields:ident $($field:ident)*; $($flag:ident = $bit:literal)+) => {{
        $(let $field = Field::take($fields);)*
        let bits = u8::take($fields);
        Self { $($field,)* $($flag: bits & $bit != 0),+ }
    }};
}
pub(super) use layout;

/// Length of a field of `S` in octets, by a function that borrows the field.
pub(super) const fn len_of<'a, S, F: Field<'a>>(_: fn(&S) -> &F) -> usize {
    F::SIZE
}

/// Fields that follow each other and are not those of a struct.
macro_rules! tuples {
    ($(($($F:ident)*))*) => {$(
        #[allow(non_snake_case)]
        impl<'a, $($F: Field<'a>),*> Field<'a> for ($($F,)*) {
            const SIZE: usize = 0 $(+ $F::SIZE)*;

            #[inline(always)]
            fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
                let ($($F,)*) = self;
                $(let w = $F.put(w);)*
                w
            }

            #[inline(always)]
            fn take(fields: &mut Fields<'a>) -> Self {
                ($($F::take(fields),)*)
            }
        }
    )*};
}

tuples!((A B) (A B C D E));

/// Fields of one octet, each with the functions that make the octet and that read it.
macro_rules! octets {
    ($($Type:ty: $put:expr, $take:expr;)*) => {$(
        impl Field<'_> for $Type {
            const SIZE: usize = u8::SIZE;

            #[inline(always)]
            fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
                let put: fn(&Self) -> u8 = $put;
                w.u8(put(self))
            }

            #[inline(always)]
            fn take(fields: &mut Fields<'_>) -> Self {
                let octet = fields.r.u8();
                let take: fn(&mut Fields<'_>, u8) -> Self = $take;
                take(fields, octet)
            }
        }
    )*};
}

/// The octet that stands on the wire for no status.
const NOT_HEARD: u8 = 0xff;

octets! {
    Status: |status| *status as u8,
        |fields, code| fields.valid(Status::from_code(code), Status::Ok);
    Option<Status>: |heard| heard.map_or(NOT_HEARD, |status| status as u8),
        |fields, code| match code {
            NOT_HEARD => None,
            code => Some(fields.valid(Status::from_code(code), Status::Ok)),
        };
    ChannelKind: |kind| kind.code(),
        |fields, code| fields.valid(ChannelKind::from_code(code), ChannelKind::plain(Kind::Stream));
    HelloFlags: |flags| flags.bits(), |_, bits| HelloFlags::from_bits(bits);
    DataFlags: |flags| flags.bits(), |_, bits| DataFlags::from_bits(bits);
}

impl Field<'_> for Address {
    const SIZE: usize = <[u8; 16]>::SIZE;

    #[inline(always)]
    fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
        self.0.put(w)
    }

    #[inline(always)]
    fn take(fields: &mut Fields<'_>) -> Self {
        Self(<[u8; 16]>::take(fields))
    }
}

impl Field<'_> for Name {
    const SIZE: usize = u8::SIZE;

    fn counted(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
        w.counted(self.as_bytes())
    }

    #[inline(always)]
    fn take(fields: &mut Fields<'_>) -> Self {
        let name = Name::from_bytes(fields.r.counted()).ok();
        fields.valid(name, Name::EMPTY)
    }
}

/// Most octets of such a field. Firmware without keys is never sent a message of the handshake.
const MAX_COUNTED: usize = if Message::HAS_HANDSHAKES { MAX_HANDSHAKE } else { MAX_GREETING };

/// A greeting or a message of the handshake: no other fields have this type.
impl<'a> Field<'a> for &'a [u8] {
    const SIZE: usize = u8::SIZE;

    fn counted(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
        w.counted(self)
    }

    #[inline(always)]
    fn take(fields: &mut Fields<'a>) -> Self {
        let greeting = fields.r.counted();
        fields.require(greeting.len() <= MAX_COUNTED);
        greeting
    }
}
