//! Hellos of real clients, out of the project's own captures.

use std::fs::File;

use bot_agent::capture::CaptureReader;

/// Chrome 136. The order of its extensions changes with every connection, its JA4 does not.
pub const CHROME_JA4: &str = "t13d1516h2_8daaf6152771_d8a2da3f94cd";

/// The record with Chrome's post-quantum hello, about 1,800 bytes.
pub fn chrome() -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/captures/chrome_post_quantum.pcap"
    );
    let mut reader = CaptureReader::new(File::open(path).expect("the capture")).expect("a capture");
    let mut bytes = Vec::new();
    while let Some(packet) = reader.next_packet().expect("a packet") {
        // Ethernet and IPv4 without options; the client is the one that speaks to the port.
        let tcp = &packet.data[34..];
        let header = usize::from(tcp[12] >> 4) * 4;
        if tcp[2..4] == 4433u16.to_be_bytes() {
            bytes.extend(&tcp[header..]);
        }
    }
    let record = 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
    bytes.truncate(record);
    bytes
}
