//! `leyden admin` as it may be typed.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// The port on this machine's loopback addresses; 0 takes a free one
    #[arg(long, default_value_t = 7373)]
    pub(crate) port: u16,
}

pub(super) const ADMIN: &str = "\
Examples:
  leyden admin
  leyden admin --port 8080

From another machine, through SSH, without opening a port to anybody:
  ssh -t -L 7373:127.0.0.1:7373 you@server leyden admin
and open the link that it prints in the browser where you sit. Where that does not find the name in
the link, which ends in .localhost, put 127.0.0.1 in its place.

A link is good once and for 15 minutes; the page has a button by which a new one is printed here, and
earlier ones stay good. A session ends half an hour after it was last used, after 12 hours, by Log out, and with this command.";
