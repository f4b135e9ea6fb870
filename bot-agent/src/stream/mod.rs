//! From TCP segments to ClientHellos.
//!
//! - [`Reassembly`]: segments in any order become contiguous bytes, bounded.
//! - [`record`]: the ClientHello in the TLS records of contiguous bytes.
//! - [`FlowAssembler`]: the live side. Streams that begin with a hello, bounded in number, bytes
//!   and time; what does not become a hello is told by cause.
//! - [`StreamScanner`]: the capture side. Every hello of one direction of a connection.
//!
//! Pure: time is passed in, nothing is read from anywhere else.

mod assembler;
mod flow;
mod reassembly;
pub mod record;
mod scanner;

pub use assembler::{Failure, FlowAssembler, FlowSegment, Limits, Outcome, Totals};
pub use flow::FlowKey;
pub use reassembly::{Full, Reassembly};
pub use scanner::StreamScanner;
