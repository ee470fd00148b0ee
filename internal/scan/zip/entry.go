package zip

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"assay/internal/scan"
)

// entry is a file in an archive, as the central directory has it.
type entry struct {
	name           string
	flags, method  uint16
	sum            uint32
	packed, length uint64
	link           bool

	central int64 // offset of its record in the directory
	header  int64 // offset of its local header
	data    int64 // offset of its content
	end     int64 // offset after its content and descriptor
}

// Bits of an entry's flags.
const (
	flagEncrypted  = 1 << 0
	flagDescriptor = 1 << 3
	flagPatch      = 1 << 5
	flagStrong     = 1 << 6
	flagMasked     = 1 << 13
)

// parseCentral reads a record of the directory and gives its length, or nil.
func parseCentral(b []byte, at int64) (*entry, int) {
	if len(b) < centralBytes || le.Uint32(b) != centralSignature {
		return nil, 0
	}
	name, extra, comment := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	total := centralBytes + name + extra + comment
	if len(b) < total {
		return nil, 0
	}
	e := &entry{
		name: string(b[centralBytes : centralBytes+name]), central: at,
		flags: le.Uint16(b[8:]), method: le.Uint16(b[10:]), sum: le.Uint32(b[16:]),
		packed: uint64(le.Uint32(b[20:])), length: uint64(le.Uint32(b[24:])),
	}
	header := uint64(le.Uint32(b[42:]))
	if !wide(b[centralBytes+name:centralBytes+name+extra], &e.length, &e.packed, &header) || header > 1<<60 || e.packed > 1<<60 {
		return nil, 0
	}
	e.header = int64(header)
	const unix, mac = 3, 19
	if maker := b[5]; maker == unix || maker == mac {
		e.link = le.Uint16(b[40:])&0xf000 == 0xa000
	}
	return e, total
}

// wide replaces the fields that say 0xffffffff by their 64-bit form in the zip64 extra field.
func wide(extra []byte, fields ...*uint64) bool {
	var field []byte
	for rest := extra; len(rest) >= 4; {
		n := int(le.Uint16(rest[2:]))
		if len(rest) < 4+n {
			break // padding, as Android's and PyTorch's aligners write it
		}
		if le.Uint16(rest) == 1 && field == nil {
			field = rest[4 : 4+n]
		}
		rest = rest[4+n:]
	}
	for _, f := range fields {
		if *f != 1<<32-1 {
			continue
		}
		if len(field) < 8 {
			return field == nil // the value itself, where there is no such field
		}
		*f, field = le.Uint64(field), field[8:]
	}
	return true
}

// locals reads each local header and compares it with the directory.
func (a *archive) locals() bool {
	slices.SortStableFunc(a.list, func(x, y *entry) int { return int(min(max(x.header-y.header, -1), 1)) })
	seen := map[string]bool{}
	for _, e := range a.list {
		if !a.local(e) {
			return false
		}
		a.name(e, seen)
		if e.flags&(flagEncrypted|flagStrong|flagMasked) != 0 || e.method == 99 {
			a.find("zip-encrypted", scan.High, e.header, e.name, "Entry %q is encrypted, or says so falsely: scanners give up on it, while loaders that ignore the flag load it.", e.name)
		}
	}
	at := int64(0) // what stands before the archive may be an entry too
	for i, e := range a.list {
		if i > 0 && e.header < a.list[i-1].end || e.end > a.start {
			a.find("zip-overlap", scan.High, e.header, e.name, "Entry %q shares bytes with another or with the directory, as in archives that unpack to far more than they hold.", e.name)
			return false
		}
		if b, ok := a.read(at, 4); ok && e.header > at && le.Uint32(b) == localSignature {
			a.hidden(at)
		}
		at = e.end
		a.report.Accounts(e.header, e.end)
	}
	if b, ok := a.read(at, 4); ok && at < a.start && le.Uint32(b) == localSignature {
		a.hidden(at)
	}
	return true
}

func (a *archive) hidden(at int64) {
	a.find("zip-hidden", scan.High, at, "", "There is an entry that the directory does not list. Programs that read an archive from its start unpack it.")
}

// name checks what unpacking would do with an entry's name.
func (a *archive) name(e *entry, seen map[string]bool) {
	slashed := strings.ReplaceAll(e.name, `\`, "/")
	clean := path.Clean(slashed)
	switch {
	case strings.HasPrefix(slashed, "/") || clean == ".." || strings.HasPrefix(clean, "../") || len(slashed) > 1 && slashed[1] == ':' || strings.ContainsRune(slashed, 0):
		a.find("zip-path", scan.High, e.header, e.name, "Entry %q leads out of the folder that the archive is unpacked to.", e.name)
	case seen[clean]:
		a.find("zip-duplicate", scan.High, e.header, e.name, "There is more than one entry %q, and programs differ in which of them they read.", e.name)
	}
	seen[clean] = true
	if e.link {
		a.find("zip-link", scan.High, e.header, e.name, "Entry %q is a link: unpacked, it stands for another file of the machine.", e.name)
	}
}

func (a *archive) local(e *entry) bool {
	b, ok := a.read(e.header, localBytes)
	if !ok || le.Uint32(b) != localSignature {
		a.mismatch(e.central, e.name, "Entry %q has no local header where the directory says.", e.name)
		return false
	}
	name, extra := int64(le.Uint16(b[26:])), int64(le.Uint16(b[28:]))
	rest, ok := a.read(e.header+localBytes, name+extra)
	if !ok {
		a.mismatch(e.central, e.name, "Entry %q has a local header that is cut short.", e.name)
		return false
	}
	packed, length := uint64(le.Uint32(b[18:])), uint64(le.Uint32(b[22:]))
	if !wide(rest[name:], &length, &packed) {
		a.mismatch(e.header, e.name, "Entry %q has a damaged zip64 field.", e.name)
	}
	if !bytes.Equal(rest[:name], []byte(e.name)) {
		a.mismatch(e.header, e.name, "Entry %q of the directory is named %q in its own header.", e.name, rest[:name])
	}
	if flags := le.Uint16(b[6:]); flags != e.flags {
		a.mismatch(e.header, e.name, "Entry %q has flags %#x in the directory and %#x in its own header.", e.name, e.flags, flags)
		e.flags |= flags & (flagEncrypted | flagDescriptor)
	}
	if method := le.Uint16(b[8:]); method != e.method {
		a.mismatch(e.header, e.name, "Entry %q has compression method %d in the directory and %d in its own header.", e.name, e.method, method)
	}
	sum := le.Uint32(b[14:])
	later := e.flags&flagDescriptor != 0 // zeros here, and the values after the content
	if sum != e.sum && !(later && sum == 0) || packed != e.packed && !(later && packed == 0) || length != e.length && !(later && length == 0) {
		a.mismatch(e.header, e.name, "Entry %q has another size or checksum in the directory than in its own header.", e.name)
	}
	e.data = e.header + localBytes + name + extra
	if e.end = e.data + int64(e.packed); e.end > a.start {
		a.mismatch(e.central, e.name, "Entry %q goes beyond the directory.", e.name)
		return false
	}
	if later {
		a.descriptor(e)
	}
	return true
}

// descriptor finds the record after an entry's content: with or without a signature, with
// sizes of 32 or 64 bits.
func (a *archive) descriptor(e *entry) {
	b, _ := a.read(e.end, min(24, a.start-e.end))
	for _, signed := range []bool{true, false} {
		d := b
		if signed {
			if len(d) < 4 || le.Uint32(d) != descriptorSignature {
				continue
			}
			d = d[4:]
		}
		if len(d) >= 20 && le.Uint32(d) == e.sum && le.Uint64(d[4:]) == e.packed && le.Uint64(d[12:]) == e.length {
			e.end += int64(len(b) - len(d) + 20)
			return
		}
		if len(d) >= 12 && le.Uint32(d) == e.sum && uint64(le.Uint32(d[4:])) == e.packed && uint64(le.Uint32(d[8:])) == e.length {
			e.end += int64(len(b) - len(d) + 12)
			return
		}
	}
	a.mismatch(e.end, e.name, "Entry %q says that its sizes follow its content, and they do not, or are others than in the directory.", e.name)
}
