// Package sevenzip scans 7-Zip archives. It reads the header by itself, within bounds, and
// unpacks by Go's own readers and one of LZMA what is packed by the usual methods; the rest
// is undecided.
package sevenzip

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"strings"

	"github.com/ulikunitz/xz/lzma"

	"assay/internal/scan"
)

// Scanner scans 7-Zip archives (7zFormat.txt of the LZMA SDK).
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "7z", Title: "7-Zip archive", Rules: []scan.Rule{
		{ID: "7z-structure", Title: "The header cannot be as it is"},
		{ID: "7z-encrypted", Title: "Content is encrypted"},
		{ID: "7z-method", Title: "Content is packed by a method that is not read"},
		{ID: "7z-path", Title: "An entry would be written outside the folder it is unpacked to"},
		{ID: "7z-link", Title: "An entry is a link"},
		{ID: "7z-duplicate", Title: "Two entries have the same name"},
	}}
}

const (
	magic       = "7z\xbc\xaf\x27\x1c"
	headerBytes = 32
	maxHeader   = 8 << 20
)

// Match reports the first six bytes.
func (Scanner) Match(p scan.Probe) bool { return bytes.HasPrefix(p.Head, []byte(magic)) }

type archive struct {
	file   *scan.File
	report *scan.Report
	at     io.ReaderAt
	size   int64
}

func (a *archive) find(rule string, severity scan.Severity, node, format string, args ...any) {
	a.report.Add(scan.Finding{Rule: rule, Severity: severity, Place: a.file.Place(0, node), Message: fmt.Sprintf(format, args...), Remedy: "Do not unpack it; get the content from its source, or have it packed as zip or tar."})
}

// Scan reads the header and hands over the files.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	a := &archive{f, r, at, size}
	s, members, err := a.header()
	var encrypted *methodError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &encrypted):
		r.AccountsForAll()
		a.method(encrypted)
		return nil
	case err != nil:
		r.AccountsForAll()
		a.find("7z-structure", scan.Medium, "", "It cannot be read: %v.", err)
		return nil
	}
	named := a.names(members)
	for i := range s.folders {
		if err := a.folder(ctx, i, &s.folders[i], &named); err != nil {
			return err
		}
	}
	if len(named) > 0 {
		a.find("7z-structure", scan.Medium, named[0], "It names %d files more than it has content for.", len(named))
	}
	return nil
}

// header reads the header, which is packed itself in most archives.
func (a *archive) header() (s streams, members []member, err error) {
	start := make([]byte, headerBytes)
	if _, err := a.at.ReadAt(start, 0); err != nil {
		return s, nil, errors.New("it is cut short")
	}
	le := binary.LittleEndian
	offset, length := le.Uint64(start[12:]), le.Uint64(start[20:])
	if crc32.ChecksumIEEE(start[12:]) != le.Uint32(start[8:]) {
		return s, nil, fmt.Errorf("%w: the checksum of its start is wrong", errDamaged)
	}
	if offset > uint64(a.size) || length > uint64(a.size)-offset || headerBytes+offset+length > uint64(a.size) || length > maxHeader {
		return s, nil, fmt.Errorf("%w: it is said to have %d bytes at byte %d", errDamaged, length, headerBytes+offset)
	}
	a.report.Accounts(0, headerBytes)
	a.report.Accounts(int64(headerBytes+offset), int64(headerBytes+offset+length))
	if length == 0 {
		return s, nil, nil
	}
	data := make([]byte, length)
	if _, err := a.at.ReadAt(data, int64(headerBytes+offset)); err != nil {
		return s, nil, err
	}
	if crc32.ChecksumIEEE(data) != le.Uint32(start[28:]) {
		return s, nil, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	for range 4 { // packed more than once, it is made by nobody
		p := &parser{b: data}
		id := p.byte()
		if id == idHeader {
			s, members = p.whole()
			return s, members, p.err
		}
		if id != idEncodedHeader {
			return s, nil, errDamaged
		}
		packed := p.streams()
		if p.err != nil || len(packed.folders) != 1 || packed.folders[0].size() > maxHeader {
			return s, nil, errors.Join(errDamaged, p.err)
		}
		if data, err = a.unpacked(&packed.folders[0]); err != nil {
			return s, nil, err
		}
	}
	return s, nil, errDamaged
}

// whole reads a header that is not packed.
func (p *parser) whole() (s streams, members []member) {
	for p.err == nil {
		switch id := p.byte(); id {
		case idMainStreams:
			s = p.streams()
		case idFiles:
			members = p.files()
		case idEnd:
			return s, members
		case idArchive, idAdditional:
			p.fail("property %#x is written by no program that is known", id)
		default:
			p.fail("property %#x is not known", id)
		}
	}
	return s, members
}

// unpacked gives the content of a folder that holds a header.
func (a *archive) unpacked(f *folder) ([]byte, error) {
	if err := a.extent(f); err != nil {
		return nil, err
	}
	r, err := a.open(f)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxHeader+1))
	if err != nil || uint64(len(data)) != f.size() || f.digest.known && crc32.ChecksumIEEE(data) != f.digest.sum {
		return nil, errors.Join(errDamaged, err)
	}
	return data, nil
}

// extent accounts for a folder's packed content.
func (a *archive) extent(f *folder) error {
	if f.offset > uint64(a.size) || f.packedSize > uint64(a.size) || headerBytes+f.offset+f.packedSize > uint64(a.size) {
		return fmt.Errorf("%w: packed content is said to have %d bytes at byte %d", errDamaged, f.packedSize, headerBytes+f.offset)
	}
	a.report.Accounts(int64(headerBytes+f.offset), int64(headerBytes+f.offset+f.packedSize))
	return nil
}

// names gives the names of the files with content, after they were judged.
func (a *archive) names(members []member) []string {
	var out []string
	seen := map[string]bool{}
	for _, m := range members {
		name := m.name
		slashed := strings.ReplaceAll(name, `\`, "/")
		clean := path.Clean(slashed)
		switch {
		case strings.HasPrefix(slashed, "/") || clean == ".." || strings.HasPrefix(clean, "../") || len(slashed) > 1 && slashed[1] == ':':
			a.find("7z-path", scan.High, name, "Entry %q leads out of the folder that the archive is unpacked to.", name)
		case seen[clean]:
			a.find("7z-duplicate", scan.High, name, "There is more than one entry %q, and the last takes the place of the others.", name)
		}
		seen[clean] = true
		if m.link {
			a.find("7z-link", scan.High, name, "Entry %q is a link: unpacked, it stands for another file of the machine.", name)
		}
		if !m.empty {
			out = append(out, name)
		}
	}
	return out
}

// folder hands over the files of a folder, which take their names from those that are left.
func (a *archive) folder(ctx context.Context, index int, f *folder, names *[]string) error {
	if err := a.extent(f); err != nil {
		a.find("7z-structure", scan.Medium, "", "It cannot be read: %v.", err)
		return nil
	}
	n := min(len(f.parts), len(*names))
	own := (*names)[:n]
	*names = (*names)[n:]
	if n < len(f.parts) {
		a.find("7z-structure", scan.Medium, "", "A folder holds %d files, and %d have names.", len(f.parts), n)
		return nil
	}
	if n == 0 {
		return nil
	}
	if m := unread(f); m != nil {
		a.method(m)
		return nil
	}
	defer a.report.Scope()()
	if err := a.file.Reserve(window(f)); err != nil {
		return err
	}
	content := a.file.Stream(fmt.Sprintf("folder %d", index+1), int64(f.size()), func() (io.ReadCloser, error) {
		r, err := a.open(f)
		return io.NopCloser(&summed{r: r, folder: f}), err
	})
	if _, _, err := content.Random(ctx); err != nil {
		return fmt.Errorf("the files in folder %d, of which %q is the first, cannot be unpacked: %w", index+1, own[0], err)
	}
	at := int64(0)
	for i, size := range f.parts {
		if err := a.report.Entry(ctx, content.Section(own[i], at, int64(size))); err != nil {
			return err
		}
		at += int64(size)
	}
	return nil
}

// methodError is that content is packed by a method that is not read.
type methodError struct {
	id        string
	encrypted bool
}

func (m *methodError) Error() string { return fmt.Sprintf("it is packed by method %x", m.id) }

func (a *archive) method(m *methodError) {
	if m.encrypted {
		a.find("7z-encrypted", scan.High, "", "Its content is encrypted, so that no scan sees what whoever has the password unpacks.")
		return
	}
	a.report.Undecided("7z-method", a.file.Place(0, ""), fmt.Sprintf("Its content is packed by method %x, or by several in a row, which is not read.", m.id), "Have it packed by LZMA or LZMA2, or as zip or tar.")
}

// Identifiers of methods (Methods.txt of the LZMA SDK).
const (
	methodCopy    = "\x00"
	methodLZMA    = "\x03\x01\x01"
	methodLZMA2   = "\x21"
	methodDeflate = "\x04\x01\x08"
	methodBzip2   = "\x04\x02\x02"
	methodAES     = "\x06\xf1\x07\x01"
)

// window is the memory that unpacking a folder takes.
func window(f *folder) int64 {
	c := f.coders[0]
	n := int64(1 << 20)
	switch {
	case c.id == methodLZMA && len(c.properties) == 5:
		n = int64(binary.LittleEndian.Uint32(c.properties[1:]))
	case c.id == methodLZMA2 && len(c.properties) == 1:
		n = lzma2Window(c.properties[0])
	case c.id == methodBzip2:
		n = 8 << 20
	}
	return max(min(n, int64(min(f.size(), 1<<40))), 1<<20)
}

func lzma2Window(b byte) int64 {
	n, err := lzma.DecodeDictCap(b)
	if err != nil {
		return 1 << 40
	}
	return n
}

// unread gives the method of a folder that is not read, nil where all are.
func unread(f *folder) *methodError {
	for _, c := range f.coders {
		if c.id == methodAES {
			return &methodError{c.id, true}
		}
	}
	c := f.coders[0]
	if len(f.coders) == 1 && f.packed == 1 && c.simple {
		switch c.id {
		case methodCopy, methodDeflate, methodBzip2, methodLZMA, methodLZMA2:
			return nil
		}
	}
	return &methodError{c.id, false}
}

// open unpacks a folder from its start.
func (a *archive) open(f *folder) (io.Reader, error) {
	if m := unread(f); m != nil {
		return nil, m
	}
	c := f.coders[0]
	packed := bufio.NewReaderSize(io.NewSectionReader(a.at, int64(headerBytes+f.offset), int64(f.packedSize)), 32<<10)
	switch c.id {
	case methodCopy:
		return packed, nil
	case methodDeflate:
		return flate.NewReader(packed), nil
	case methodBzip2:
		return bzip2.NewReader(packed), nil
	case methodLZMA:
		if len(c.properties) != 5 {
			return nil, errDamaged
		}
		// The same as LZMA alone, whose header has the properties and the size.
		head := binary.LittleEndian.AppendUint64(bytes.Clone(c.properties), f.size())
		binary.LittleEndian.PutUint32(head[1:], uint32(min(window(f), 1<<32-1)))
		return lzma.NewReader(io.MultiReader(bytes.NewReader(head), packed))
	}
	if len(c.properties) != 1 {
		return nil, errDamaged
	}
	return lzma.Reader2Config{DictCap: int(window(f))}.NewReader2(packed)
}

// summed is an error where a file's content has another checksum than stated.
type summed struct {
	r      io.Reader
	folder *folder
	part   int
	read   uint64
	sum    uint32
}

var errChecksum = errors.New("its content has another checksum than stated")

func (s *summed) Read(p []byte) (int, error) {
	for s.part < len(s.folder.parts) && s.read == s.folder.parts[s.part] {
		if d := s.folder.partDigests[s.part]; d.known && d.sum != s.sum {
			return 0, errChecksum
		}
		s.part, s.read, s.sum = s.part+1, 0, 0
	}
	if s.part < len(s.folder.parts) {
		p = p[:min(uint64(len(p)), s.folder.parts[s.part]-s.read)]
	}
	n, err := s.r.Read(p)
	s.read += uint64(n)
	s.sum = crc32.Update(s.sum, crc32.IEEETable, p[:n])
	if s.part < len(s.folder.parts) && s.read == s.folder.parts[s.part] && errors.Is(err, io.EOF) {
		err = nil // the checksum is compared first
	}
	return n, err
}
