//! How does a stream of dnstap messages begin and end? Frame Streams, the side that writes (fstrm, control.h).
//!
//! ```text
//! socket: READY →   ← ACCEPT   START →   frames →   STOP →   ← FINISH
//! file:                        START →   frames →   STOP
//! ```
//!
//! A frame is its length and its octets; a length of zero begins a control frame. Bytes only: sockets are the outlet's.

/// The content type of dnstap.
const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";
/// The field of a control frame that names a content type.
const FIELD_CONTENT_TYPE: u32 = 1;
/// The longest control frame (`FSTRM_CONTROL_FRAME_LENGTH_MAX`).
pub(super) const CONTROL_MAX: usize = 512;

/// Types of control frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Accept,
    Start,
    Stop,
    Ready,
    Finish,
}

/// Why a control frame is not the one that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the collector does not speak Frame Streams")]
    NotControl,
    #[error("the collector says something else than was due")]
    Unexpected,
    #[error("the collector does not take dnstap")]
    OtherContent,
}

impl Control {
    const fn number(self) -> u32 {
        match self {
            Self::Accept => 1,
            Self::Start => 2,
            Self::Stop => 3,
            Self::Ready => 4,
            Self::Finish => 5,
        }
    }

    /// Returns the whole frame.
    pub(super) fn emit(self) -> Vec<u8> {
        let mut body = self.number().to_be_bytes().to_vec();
        match self {
            Self::Ready | Self::Start | Self::Accept => {
                body.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
                body.extend_from_slice(&length(CONTENT_TYPE));
                body.extend_from_slice(CONTENT_TYPE);
            }
            Self::Stop | Self::Finish => {}
        }
        let mut frame = vec![0; 4];
        frame.extend_from_slice(&length(&body));
        frame.extend_from_slice(&body);
        frame
    }

    /// Reads the body of a control frame, and says whether it is this one.
    pub(super) fn expect(self, body: &[u8]) -> Result<(), FrameError> {
        let (number, mut fields) = body
            .split_first_chunk::<4>()
            .ok_or(FrameError::NotControl)?;
        if u32::from_be_bytes(*number) != self.number() {
            return Err(FrameError::Unexpected);
        }
        let mut types = 0;
        while !fields.is_empty() {
            let (field, rest) = fields
                .split_first_chunk::<4>()
                .ok_or(FrameError::NotControl)?;
            let (length, rest) = rest
                .split_first_chunk::<4>()
                .ok_or(FrameError::NotControl)?;
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let (value, rest) = rest
                .split_at_checked(length)
                .ok_or(FrameError::NotControl)?;
            if u32::from_be_bytes(*field) == FIELD_CONTENT_TYPE {
                if value == CONTENT_TYPE {
                    return Ok(());
                }
                types += 1;
            }
            fields = rest;
        }
        // Who names none takes any.
        if types == 0 {
            Ok(())
        } else {
            Err(FrameError::OtherContent)
        }
    }
}

/// Reads the head of a control frame; returns the length of its body.
pub(super) fn control_length(head: [u8; 8]) -> Result<usize, FrameError> {
    let [a, b, c, d, w, x, y, z] = head;
    let length = usize::try_from(u32::from_be_bytes([w, x, y, z])).unwrap_or(usize::MAX);
    if [a, b, c, d] != [0; 4] || !(4..=CONTROL_MAX).contains(&length) {
        return Err(FrameError::NotControl);
    }
    Ok(length)
}

/// Returns what stands before a frame's octets.
pub(super) fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_frames_are_those_of_the_protocol() {
        let start = Control::Start.emit();
        let expected = [
            &b"\0\0\0\0"[..],
            b"\0\0\0\x22",
            b"\0\0\0\x02\0\0\0\x01\0\0\0\x16",
            b"protobuf:dnstap.Dnstap",
        ]
        .concat();
        assert_eq!(start, expected);
        assert_eq!(Control::Stop.emit(), b"\0\0\0\0\0\0\0\x04\0\0\0\x03");
    }

    #[test]
    fn an_acceptance_is_taken_when_dnstap_is_among_its_types() {
        let body = |frame: &[u8]| frame[8..].to_vec();
        let good = body(&Control::Accept.emit());
        assert_eq!(Control::Accept.expect(&good), Ok(()));
        assert_eq!(Control::Finish.expect(&good), Err(FrameError::Unexpected));
        assert_eq!(Control::Accept.expect(&good[..4]), Ok(()), "any");
        let mut other = good.clone();
        other[12] = b'x';
        assert_eq!(
            Control::Accept.expect(&other),
            Err(FrameError::OtherContent)
        );
        let both = [&other[..], &good[4..]].concat();
        assert_eq!(Control::Accept.expect(&both), Ok(()));
    }

    #[test]
    fn no_octets_make_reading_panic() {
        let frame = Control::Accept.emit();
        for cut in 0..frame.len() {
            let _read = Control::Accept.expect(&frame[8.min(cut)..cut]);
        }
        for at in 8..frame.len() {
            for octet in 0..=u8::MAX {
                let mut frame = frame.clone();
                frame[at] = octet;
                let _read = Control::Accept.expect(&frame[8..]);
            }
        }
        for (head, expected) in [
            (*b"\0\0\0\0\0\0\0\x04", Ok(4)),
            (*b"\0\0\0\0\0\0\x02\0", Ok(512)),
            (*b"\0\0\0\0\0\0\x02\x01", Err(FrameError::NotControl)),
            (*b"\0\0\0\0\0\0\0\x03", Err(FrameError::NotControl)),
            (*b"\0\0\0\x01\0\0\0\x04", Err(FrameError::NotControl)),
            (*b"HTTP/1.1", Err(FrameError::NotControl)),
        ] {
            assert_eq!(control_length(head), expected);
        }
    }
}
