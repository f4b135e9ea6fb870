//! Copies of feeds on disk: what is read comes back the same from what is written of it.

#![no_main]

use bot_agent::feeds::snapshot::Snapshot;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let Ok((snapshot, extra)) = Snapshot::read(content) else {
        return;
    };
    let mut written = Vec::new();
    snapshot.write(&extra, &mut written).expect("memory takes it");
    let (again, _) = Snapshot::read(written.as_slice()).expect("it was written whole");
    assert_eq!(again, snapshot);
});
