package scan

import (
	"bytes"
	"unicode/utf8"
)

// magic is how content begins that no program loads as a model.
type magic struct {
	name   string
	prefix string
	at     int    // offset of more
	more   string // what else must be there
}

var magics = []magic{
	{name: "png", prefix: "\x89PNG\r\n\x1a\n"},
	{name: "jpeg", prefix: "\xff\xd8\xff"},
	{name: "gif", prefix: "GIF87a"},
	{name: "gif", prefix: "GIF89a"},
	{name: "webp", prefix: "RIFF", at: 8, more: "WEBP"},
	{name: "wav", prefix: "RIFF", at: 8, more: "WAVE"},
	{name: "pdf", prefix: "%PDF-"},
	{name: "parquet", prefix: "PAR1"},
	{name: "git-index", prefix: "DIRC\x00\x00\x00"},
}

func (m magic) matches(head []byte) bool {
	return bytes.HasPrefix(head, []byte(m.prefix)) && (m.more == "" || len(head) > m.at && bytes.HasPrefix(head[m.at:], []byte(m.more)))
}

// printable reports whether bytes are UTF-8 text without control characters other than
// white space. Text that goes on may end within a character.
func printable(b []byte, goesOn bool) bool {
	if goesOn {
		b = b[:len(b)-partial(b)]
	}
	if !utf8.Valid(b) {
		return false
	}
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' || c == 0x7f {
			return false
		}
	}
	return true
}

// partial is how many bytes at the end are the beginning of a character.
func partial(b []byte) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(b)); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
