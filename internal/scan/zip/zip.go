// Package zip scans zip archives, among them PyTorch's and Keras's. It reads the central
// directory and every local header by itself and refuses where they differ, since programs
// that unpack zip files believe one or the other: what is scanned must be what is loaded.
package zip

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"assay/internal/scan"
)

// Scanner scans zip archives (PKWARE APPNOTE 6.3.10).
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "zip", Title: "Zip archive, also of PyTorch and Keras", Rules: []scan.Rule{
		{ID: "zip-mismatch", Title: "The headers of an archive contradict each other"},
		{ID: "zip-encrypted", Title: "An entry is encrypted, or says so"},
		{ID: "zip-overlap", Title: "Entries share bytes"},
		{ID: "zip-hidden", Title: "There are entries that the directory does not list"},
		{ID: "zip-duplicate", Title: "Two entries have the same name"},
		{ID: "zip-path", Title: "An entry would be written outside the folder it is unpacked to"},
		{ID: "zip-link", Title: "An entry is a link"},
		{ID: "zip-checksum", Title: "An entry's content has another checksum than stated"},
		{ID: "zip-unreadable", Title: "The archive or an entry could not be read"},
		{ID: "torchscript-operator", Title: "TorchScript code calls an operator that reaches files or is not known"},
	}}
}

const (
	localSignature      = 0x04034b50
	centralSignature    = 0x02014b50
	endSignature        = 0x06054b50
	end64Signature      = 0x06064b50
	locatorSignature    = 0x07064b50
	descriptorSignature = 0x08074b50

	endBytes     = 22
	centralBytes = 46
	localBytes   = 30

	maxDirectory = 32 << 20 // bytes of central directory that are read
	maxEntries   = 100_000
)

var le = binary.LittleEndian

// Match reports a local header at the start, or the end of a directory within the tail,
// as programs that unpack find one behind anything.
func (Scanner) Match(p scan.Probe) bool {
	if bytes.HasPrefix(p.Head, []byte("PK\x03\x04")) || bytes.HasPrefix(p.Head, []byte("PK\x05\x06")) {
		return true
	}
	_, ok := findEnd(p.Tail, p.Size)
	return ok
}

// findEnd gives the offset within the tail of the last end record that could be one: its
// directory lies before it.
func findEnd(tail []byte, size int64) (int, bool) {
	for at := len(tail); ; {
		at = bytes.LastIndex(tail[:at], []byte("PK\x05\x06"))
		if at < 0 {
			return 0, false
		}
		if len(tail)-at < endBytes {
			continue
		}
		length, offset := le.Uint32(tail[at+12:]), le.Uint32(tail[at+16:])
		before := size - int64(len(tail)) + int64(at)
		if length == 1<<32-1 || offset == 1<<32-1 || int64(length)+int64(offset) <= before {
			return at, true
		}
	}
}

// Scan reads the archive and hands over its entries.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	a := &archive{file: f, report: r, at: at, size: size}
	if !a.directory() || !a.locals() {
		return nil
	}
	return a.scan(ctx)
}

// archive is a zip file while it is scanned.
type archive struct {
	file   *scan.File
	report *scan.Report
	at     io.ReaderAt
	size   int64
	base   int64 // of the offsets in the archive, where something stands before it
	start  int64 // of the central directory
	list   []*entry
}

func (a *archive) find(rule string, severity scan.Severity, offset int64, name, format string, args ...any) {
	remedy := "Do not load it; get the file again from its source or have it packed anew."
	a.report.Add(scan.Finding{Rule: rule, Severity: severity, Place: a.file.Place(offset, name), Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (a *archive) mismatch(offset int64, name, format string, args ...any) {
	a.find("zip-mismatch", scan.High, offset, name, format+" Programs that unpack it see different things.", args...)
}

func (a *archive) unreadable(offset int64, name, format string, args ...any) {
	a.report.Undecided("zip-unreadable", a.file.Place(offset, name), fmt.Sprintf(format, args...), "Have it packed anew as a plain zip archive.")
}

func (a *archive) read(offset, n int64) ([]byte, bool) {
	if offset < 0 || n < 0 || offset > a.size-n {
		return nil, false
	}
	b := make([]byte, n)
	got, _ := a.at.ReadAt(b, offset)
	return b, int64(got) == n
}

// end is what the end of central directory record says, or its zip64 form.
type end struct {
	at            int64 // of the first of the end's records
	count         uint64
	start, length uint64
}

// directory finds and reads the central directory.
func (a *archive) directory() bool {
	e, ok := a.end()
	if !ok {
		return false
	}
	if e.length > maxDirectory || e.count > maxEntries {
		a.unreadable(e.at, "", "Its directory has %d entries in %d bytes, more than is read.", e.count, e.length)
		return false
	}
	a.start = e.at - int64(e.length)
	if a.base = a.start - int64(e.start); a.start < 0 || a.base < 0 {
		a.mismatch(e.at, "", "Its directory is said to be at byte %d with %d bytes, which is not before its end.", e.start, e.length)
		return false
	}
	data, ok := a.read(a.start, int64(e.length))
	if !ok {
		a.unreadable(a.start, "", "Its directory could not be read.")
		return false
	}
	for at := a.start; len(data) > 0; {
		en, n := parseCentral(data, at)
		if en == nil {
			a.mismatch(at, "", "Its directory is damaged at this place.")
			return false
		}
		en.header += a.base
		a.list = append(a.list, en)
		data, at = data[n:], at+int64(n)
	}
	if uint64(len(a.list)) != e.count {
		a.mismatch(e.at, "", "Its directory has %d entries where its end says %d.", len(a.list), e.count)
	}
	a.report.Accounts(a.start, e.at)
	return true
}

func (a *archive) end() (end, bool) {
	tail, ok := a.read(max(0, a.size-scan.TailBytes), min(a.size, scan.TailBytes))
	if !ok {
		a.unreadable(0, "", "Its end could not be read.")
		return end{}, false
	}
	i, ok := findEnd(tail, a.size)
	if !ok {
		a.unreadable(0, "", "It begins as a zip archive and has no directory at its end: it is cut short or damaged, and programs that do without one would still unpack it.")
		return end{}, false
	}
	b := tail[i:]
	at := a.size - int64(len(b))
	e := end{at: at, count: uint64(le.Uint16(b[10:])), length: uint64(le.Uint32(b[12:])), start: uint64(le.Uint32(b[16:]))}
	if le.Uint16(b[4:]) != 0 && le.Uint16(b[4:]) != 0xffff || le.Uint16(b[8:]) != le.Uint16(b[10:]) {
		a.mismatch(at, "", "It says that it is one part of several.")
	}
	// A comment stands as content of its own, since anything can be in it.
	a.report.Accounts(at, at+endBytes)
	if comment := int64(le.Uint16(b[20:])); at+endBytes+comment != a.size {
		a.mismatch(at, "", "There are %d bytes after its end record, which says that there are %d.", a.size-at-endBytes, comment)
	}
	return a.end64(e)
}

// end64 reads the zip64 records before the end record, if there are any.
func (a *archive) end64(e end) (end, bool) {
	locator, ok := a.read(e.at-20, 20)
	if !ok || le.Uint32(locator) != locatorSignature {
		return e, true
	}
	const bytes64 = 56
	at := e.at - 20 - bytes64
	b, ok := a.read(at, bytes64)
	if !ok || le.Uint32(b) != end64Signature || le.Uint64(b[4:]) != bytes64-12 {
		a.mismatch(e.at, "", "Its zip64 end record is not where it should be.")
		return e, false
	}
	wide := end{at: at, count: le.Uint64(b[32:]), length: le.Uint64(b[40:]), start: le.Uint64(b[48:])}
	if narrower(uint64(e.count), wide.count, 0xffff) || narrower(e.length, wide.length, 1<<32-1) || narrower(e.start, wide.start, 1<<32-1) {
		a.mismatch(at, "", "Its two end records say different things.")
		return e, false
	}
	if wide.length > 1<<40 || wide.start > 1<<60 {
		a.mismatch(at, "", "Its directory is said to be larger than the file.")
		return e, false
	}
	a.report.Accounts(at, e.at)
	return wide, true
}

// narrower reports whether a field of few bits contradicts its wide form.
func narrower(narrow, wide, none uint64) bool { return narrow != none && narrow != wide }
