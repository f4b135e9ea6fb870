//! What the agent does at its start, as a process of its own: becomes another user, then loads,
//! attaches and asks the host about itself. A test harness has threads; dropping privileges must
//! happen before there are any.
//!
//! `unprivileged-agent PIN_DIR INTERFACE USER`, as root, in the interface's network namespace.
//! Prints one `key=value` a line.
#![allow(clippy::print_stdout, reason = "its output is what the test looks at")]

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use bot_agent::{
    datapath::{Datapath, Error, Owner, PinFolder, Pinned, XdpRequest},
    host::{privilege, protected::Finder, served, watch::Watch},
};
use bot_tests::bpffs::SMALL_TABLES;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [pin_dir, interface, user] = arguments.as_slice() else {
        anyhow::bail!("usage: unprivileged-agent PIN_DIR INTERFACE USER");
    };
    let pin_dir = PathBuf::from(pin_dir);
    let user = privilege::User::find(user)?;
    let mut finder = Finder::new()?;
    let owner = Owner {
        uid: user.uid,
        gid: user.gid,
    };
    let folder = PinFolder::prepare(&pin_dir, owner)?;

    privilege::drop_to(&user)?;
    ensure!(!privilege::is_root(), "still root");
    ensure!(
        matches!(Pinned::open(&pin_dir), Err(Error::Denied { .. })),
        "the way to the pin folder is open to everyone: the test proves nothing"
    );
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    for line in status.lines() {
        if let Some((key, value)) = line.split_once(":\t")
            && (key.starts_with("Cap") || ["Uid", "Gid", "NoNewPrivs"].contains(&key))
        {
            println!("{key}={value}");
        }
    }

    let mut opened = Datapath::open(&SMALL_TABLES, folder)?;
    println!("tables_adopted={}", opened.adopted);
    let attached = opened
        .datapath
        .attach(interface, XdpRequest::Native, false)?;
    println!("link_adopted={}", attached.adopted);
    println!("protected={}", finder.find()?.len());
    served::listening()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    Watch::new()?;
    opened.datapath.take_reports()?;
    opened.datapath.take_hellos()?;
    drop(entered);
    Ok(())
}
