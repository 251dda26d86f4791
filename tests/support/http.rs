//! HTTP as an attacker speaks it: every byte of a request is the test's.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// The head, with lines as they came.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header; names compare without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// All values of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let of_name = lines.filter(|(of, _)| of.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.trim()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn ended_with(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.text());
        self
    }
}

/// A connection to a port of this machine.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(120)))
        .unwrap();
    stream
}

/// Sends these bytes, and reads the answer to its end; `None` where there is none.
pub fn send(port: u16, request: &[u8]) -> Option<Answer> {
    let mut stream = connect(port);
    // Whoever refuses a request need not read it.
    let _ = stream.write_all(request);
    let (mut answer, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        // Some servers keep a connection that they were asked to close.
        let parsed = parse(&answer);
        let length = parsed
            .as_ref()
            .and_then(|answer| answer.header("content-length"));
        let length = length.and_then(|length| length.parse().ok());
        if length.is_some_and(|length: usize| {
            parsed
                .as_ref()
                .is_some_and(|answer| answer.body.len() >= length)
        }) {
            return parsed;
        }
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => answer.extend_from_slice(&buffer[..count]),
            _ => return parsed.map(whole),
        }
    }
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        head,
        body: answer[end + 4..].to_vec(),
    })
}

/// An answer whose body came in chunks, put together; one that was cut off stays as it came.
fn whole(mut answer: Answer) -> Answer {
    if answer.header("transfer-encoding") != Some("chunked") {
        return answer;
    }
    let (mut rest, mut body) = (&answer.body[..], Vec::new());
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            answer.body = body;
            break;
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else {
            break;
        };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    answer
}

/// A request: a method and path, header lines, and a body whose length is added.
pub fn request(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}

/// The edge between the fields of a form.
const EDGE: &str = "leyden-test-edge";

/// The type of a form's body.
pub const FORM: &str = "multipart/form-data; boundary=leyden-test-edge";

/// The body of a form, as browsers send it.
pub fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let file = if *name == "file" {
            "; filename=\"a.bin\""
        } else {
            ""
        };
        let head =
            format!("--{EDGE}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{EDGE}--\r\n").as_bytes());
    body
}
