// Package tar scans tar archives: what unpacking one would do to the machine, and the files
// in it.
package tar

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"assay/internal/scan"
)

// Scanner scans tar archives in the forms of POSIX (ustar, pax) and GNU.
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "tar", Title: "Tar archive", Rules: []scan.Rule{
		{ID: "tar-path", Title: "An entry would be written outside the folder it is unpacked to"},
		{ID: "tar-link", Title: "An entry links to what is outside the folder it is unpacked to"},
		{ID: "tar-device", Title: "An entry is a device or a pipe"},
		{ID: "tar-duplicate", Title: "Two entries have the same name"},
		{ID: "tar-mismatch", Title: "An entry's two sizes differ"},
		{ID: "tar-unreadable", Title: "An entry could not be read"},
	}}
}

const block = 512

// Match reports a header block with the right checksum.
func (Scanner) Match(p scan.Probe) bool { return len(p.Head) >= block && header(p.Head[:block]) }

// header reports whether a block's checksum is that of a tar header (POSIX.1-1988, ustar):
// the sum of its bytes, those of the checksum counted as spaces.
func header(b []byte) bool {
	stated, ok := octal(b[148:156])
	if !ok || b[0] == 0 && stated == 0 {
		return false
	}
	sum := int64(0)
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	return sum == stated && sum != 8*' '
}

func octal(field []byte) (int64, bool) {
	n, err := strconv.ParseInt(strings.Trim(string(field), " \x00"), 8, 64)
	return n, err == nil
}

// position knows where in a file the next byte is read from.
type position struct {
	*io.SectionReader
	at int64
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.SectionReader.Read(b)
	p.at += int64(n)
	return n, err
}

func (p *position) Seek(offset int64, whence int) (int64, error) {
	at, err := p.SectionReader.Seek(offset, whence)
	p.at = at
	return at, err
}

// Scan reads the headers and hands over the files.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	a := &archive{file: f, report: r, at: at, size: size, seen: map[string]bool{}}
	p := &position{SectionReader: io.NewSectionReader(at, 0, size)}
	reader := tar.NewReader(p)
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return a.ending(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("the tar archive cannot be read after byte %d: %w", a.done, err)
		}
		if err := a.entry(ctx, h, p.at); err != nil {
			return err
		}
	}
}

type archive struct {
	file   *scan.File
	report *scan.Report
	at     io.ReaderAt
	size   int64
	done   int64 // bytes up to here are understood
	seen   map[string]bool
}

func (a *archive) find(rule string, severity scan.Severity, offset int64, name, format string, args ...any) {
	a.report.Add(scan.Finding{Rule: rule, Severity: severity, Place: a.file.Place(offset, name), Message: fmt.Sprintf(format, args...),
		Remedy: "Do not unpack it; get the file again from its source or have it packed anew."})
}

// entry judges an entry whose content begins at an offset.
func (a *archive) entry(ctx context.Context, h *tar.Header, at int64) error {
	a.name(h, at)
	raw := make([]byte, block)
	if _, err := a.at.ReadAt(raw, at-block); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont:
	case tar.TypeDir, tar.TypeXGlobalHeader:
		a.account(at)
		return nil
	case tar.TypeSymlink, tar.TypeLink:
		a.link(h, at)
		a.account(at)
		return nil
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		a.find("tar-device", scan.High, at-block, h.Name, "Entry %q is a device or a pipe, which no model needs.", h.Name)
		a.account(at)
		return nil
	default:
		a.report.Undecided("tar-unreadable", a.file.Place(at-block, h.Name), fmt.Sprintf("Entry %q is of type %q, which is not read.", h.Name, h.Typeflag), "Have it packed anew without sparse files or extensions.")
		return nil
	}
	// A pax record may state another size than the header: readers that differ in which
	// they believe see different entries from here on.
	if stated, ok := octal(raw[124:136]); ok && stated != h.Size {
		a.find("tar-mismatch", scan.High, at-block, h.Name, "Entry %q has %d bytes by its header and %d by its extended header, so that programs see different entries after it.", h.Name, stated, h.Size)
	}
	if h.Size > a.size-at {
		return fmt.Errorf("entry %q says that it has %d bytes where %d are left", h.Name, h.Size, a.size-at)
	}
	a.account(at + h.Size)
	return a.report.Entry(ctx, a.file.Section(h.Name, at, h.Size))
}

// account notes that all is understood up to the end of an offset's block, if what fills
// it up are zeros.
func (a *archive) account(to int64) {
	fill := min((block-to%block)%block, max(a.size-to, 0))
	if b := make([]byte, fill); fill > 0 {
		if _, err := a.at.ReadAt(b, to); (err == nil || errors.Is(err, io.EOF)) && len(bytes.Trim(b, "\x00")) == 0 {
			to += fill
		}
	}
	a.report.Accounts(a.done, to)
	a.done = to + (block-to%block)%block
}

// ending accounts for the zeros at the end, and for nothing else there.
func (a *archive) ending(ctx context.Context) error {
	buffer := make([]byte, 64<<10)
	for at := a.done; at < a.size; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := a.at.ReadAt(buffer[:min(int64(len(buffer)), a.size-at)], at)
		if i := bytes.IndexFunc(buffer[:n], func(c rune) bool { return c != 0 }); i >= 0 {
			a.report.Accounts(a.done, at+int64(i))
			return nil
		}
		at += int64(n)
		a.report.Accounts(a.done, at)
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return err
		}
	}
	return nil
}

func (a *archive) name(h *tar.Header, at int64) {
	clean := path.Clean(strings.ReplaceAll(h.Name, `\`, "/"))
	if outside(clean) {
		a.find("tar-path", scan.High, at-block, h.Name, "Entry %q leads out of the folder that the archive is unpacked to.", h.Name)
	} else if a.seen[clean] && h.Typeflag != tar.TypeDir {
		a.find("tar-duplicate", scan.High, at-block, h.Name, "There is more than one entry %q: the last takes the place of the others, or is written through a link that they made.", h.Name)
	}
	a.seen[clean] = true
}

func outside(clean string) bool {
	return path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") || len(clean) > 1 && clean[1] == ':' || strings.ContainsRune(clean, 0)
}

func (a *archive) link(h *tar.Header, at int64) {
	target := strings.ReplaceAll(h.Linkname, `\`, "/")
	if h.Typeflag == tar.TypeSymlink && !path.IsAbs(target) {
		target = path.Join(path.Dir(path.Clean(h.Name)), target)
	}
	if outside(path.Clean(target)) {
		a.find("tar-link", scan.High, at-block, h.Name, "Entry %q links to %q, outside the folder that the archive is unpacked to.", h.Name, h.Linkname)
	}
}
