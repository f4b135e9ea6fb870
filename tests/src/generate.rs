//! Generated frames: valid ones of every shape, and what damage makes of them. The seed is the
//! test's; the same seed gives the same frames.

use crate::frame::{Frame, Transport};

/// A small deterministic generator (splitmix64).
pub struct Random(u64);

impl Random {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.any() % bound as u64) as usize
    }

    /// One of the choices.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.any() as u8).collect()
    }
}

/// The sources that generated frames come from; tests put rules on some of them.
pub const SOURCES: &[&str] = &[
    "198.51.100.1",
    "198.51.100.2",
    "198.51.100.3",
    "203.0.113.1",
    "192.0.2.9",
    "2001:db8:a::1",
    "2001:db8:b::1",
    "2001:db8:c::1",
    "2001:db8:d::1",
];

/// A frame, often valid, often not.
pub fn frame(random: &mut Random) -> Vec<u8> {
    let mut bytes = whole(random).bytes();
    match random.below(8) {
        // Cut anywhere, though never to less than the kernel's test interface takes.
        0 => bytes.truncate(14.max(random.below(bytes.len() + 1))),
        // One byte changed, in the headers mostly.
        1 | 2 => {
            let at = random.below(bytes.len().min(90));
            bytes[at] = random.any() as u8;
        }
        // Noise behind the link header.
        3 if random.once_in(4) => {
            let len = random.below(120);
            bytes.truncate(14);
            bytes.extend(random.bytes(len));
        }
        _ => {}
    }
    bytes
}

fn whole(random: &mut Random) -> Frame {
    let mut frame = Frame::from(random.pick(SOURCES));
    for _ in 0..random.pick(&[0, 0, 0, 0, 1, 1, 2, 3]) {
        frame
            .vlans
            .push((random.pick(&[0x8100, 0x88a8]), random.any() as u16));
    }
    frame.hop_limit = random.pick(&[64, 255, 1]);
    if frame.src.is_ipv4() {
        if random.once_in(4) {
            let words = random.below(11);
            frame.options = random.bytes(words * 4);
        }
        frame.fragment = random.pick(&[0, 0, 0, 0, 0x4000, 0x2000, 0x00b9, 0x2001]);
    } else {
        for _ in 0..random.pick(&[0, 0, 0, 1, 1, 2, 3, 6, 7]) {
            frame.extensions.push(extension(random));
        }
    }
    frame.transport = transport(random);
    let len = random.pick(&[0, 0, 1, 7, 40, 300, 1200]);
    frame.payload = random.bytes(len);
    if random.once_in(4) {
        frame.payload = crate::frame::client_hello(60 + random.below(1300));
    }
    frame.padding = random.pick(&[0, 0, 0, 6, 18]);
    frame
}

fn extension(random: &mut Random) -> (u8, Vec<u8>) {
    let kind = random.pick(&[0, 43, 60, 51, 44]);
    let units = random.below(3);
    let len = match kind {
        44 => 8,
        51 => (units + 2) * 4,
        _ => (units + 1) * 8,
    };
    let mut body = random.bytes(len - 1);
    body[0] = units as u8;
    if kind == 44 {
        // Mostly first fragments, so that the walk goes on.
        let field: u16 = random.pick(&[0, 0, 1, 0x0008]);
        body[1..3].copy_from_slice(&field.to_be_bytes());
    }
    (kind, body)
}

fn transport(random: &mut Random) -> Transport {
    let port = |random: &mut Random| random.pick(&[443, 443, 80, 22, 53, 40000, 65535]);
    match random.below(8) {
        0..=4 => {
            let words = random.below(11);
            Transport::Tcp {
                sport: random.any() as u16,
                dport: port(random),
                seq: random.any() as u32,
                flags: random.pick(&[0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x00, 0x3f]),
                options: random.bytes(words * 4),
            }
        }
        5 => Transport::Udp {
            sport: random.any() as u16,
            dport: port(random),
        },
        6 => Transport::Icmp {
            kind: random.pick(&[0, 1, 2, 3, 4, 8, 11, 12, 128, 133, 135, 136, 137]),
            code: random.any() as u8,
        },
        _ => Transport::Raw(random.pick(&[6, 17, 1, 58, 47, 50, 59, 132, 253])),
    }
}
