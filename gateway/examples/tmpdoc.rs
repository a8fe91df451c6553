//! tmp
#[expect(clippy::print_stdout, reason="tmp")]
fn main(){print!("{}", gateway::routes::document())}
