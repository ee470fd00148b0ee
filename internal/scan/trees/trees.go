// Package trees scans models of decision trees in the formats of their libraries: XGBoost's
// UBJSON and LightGBM's text. XGBoost's JSON is JSON like any other.
package trees

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"

	"assay/internal/scan"
)

// UBJSON scans Universal Binary JSON (draft 12), in which XGBoost writes models.
type UBJSON struct{}

// Describe names the format and its rules.
func (UBJSON) Describe() scan.Description {
	return scan.Description{Name: "ubjson", Title: "XGBoost model in UBJSON", Rules: []scan.Rule{{ID: "ubjson-structure", Title: "A length or type in the file is not possible"}}}
}

// Match reports an object whose first key XGBoost writes.
func (UBJSON) Match(p scan.Probe) bool {
	h := p.Head
	return len(h) > 12 && h[0] == '{' && bytes.IndexByte([]byte("iUIlL"), h[1]) >= 0 && (bytes.Contains(h[:20], []byte("learner")) || bytes.Contains(h[:20], []byte("version")) || bytes.Contains(h[:20], []byte("Model")))
}

// Scan reads the values to the end of the object.
func (UBJSON) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	u := &ubjson{in: bufio.NewReaderSize(content, 64<<10)}
	if err := u.value(u.byte(), 0); ctx.Err() != nil {
		return ctx.Err()
	} else if err = errors.Join(err, u.err); err != nil {
		r.AccountsForAll()
		r.Add(scan.Finding{Rule: "ubjson-structure", Severity: scan.Medium, Place: f.Place(u.at, ""), Message: fmt.Sprintf("It cannot be read: %v.", err), Remedy: "Do not load it; get the file again from its source, or save the model as JSON."})
		return nil
	}
	r.Accounts(0, u.at)
	return nil
}

type ubjson struct {
	in  *bufio.Reader
	at  int64
	err error
}

const maxDepth = 1000

func (u *ubjson) byte() byte {
	b, err := u.in.ReadByte()
	if err != nil {
		u.err = errors.Join(io.ErrUnexpectedEOF, u.err)
		return 0
	}
	u.at++
	return b
}

func (u *ubjson) skip(n int64) error {
	if n < 0 {
		return fmt.Errorf("a length is %d", n)
	}
	got, err := io.CopyN(io.Discard, u.in, n)
	u.at += got
	return err
}

// widths are the bytes of values of a fixed size.
var widths = map[byte]int64{'Z': 0, 'T': 0, 'F': 0, 'N': 0, 'i': 1, 'U': 1, 'C': 1, 'I': 2, 'l': 4, 'd': 4, 'L': 8, 'D': 8}

// length reads an integer of a type.
func (u *ubjson) length(kind byte) (int64, error) {
	var b [8]byte
	n, ok := widths[kind]
	if !ok || n == 0 || kind == 'd' || kind == 'D' || kind == 'C' {
		return 0, fmt.Errorf("a length is of type %q", kind)
	}
	got, err := io.ReadFull(u.in, b[8-n:])
	u.at += int64(got)
	v := int64(binary.BigEndian.Uint64(b[:]))
	if kind != 'U' && v>>(8*n-1)&1 == 1 {
		return 0, errors.New("a length is negative")
	}
	return v, err
}

func (u *ubjson) value(kind byte, depth int) error {
	if u.err != nil {
		return u.err
	}
	if n, fixed := widths[kind]; fixed {
		return u.skip(n)
	}
	switch {
	case depth > maxDepth:
		return fmt.Errorf("it is nested more than %d deep", maxDepth)
	case kind == 'S' || kind == 'H':
		n, err := u.length(u.byte())
		if err != nil {
			return err
		}
		return u.skip(n)
	case kind == '{' || kind == '[':
		return u.container(kind, depth)
	}
	return fmt.Errorf("a value is of type %q", kind)
}

// container reads an object or array, with or without the type and number of its values.
func (u *ubjson) container(open byte, depth int) (err error) {
	kind, count, next := byte(0), int64(-1), u.byte()
	if next == '$' {
		kind, next = u.byte(), u.byte()
	}
	if next == '#' {
		if count, err = u.length(u.byte()); err != nil {
			return err
		}
	} else if kind != 0 {
		return errors.New("values of one type have no number")
	}
	if n, fixed := widths[kind]; fixed && open == '[' && kind != 0 {
		if n > 0 && count > (1<<62)/n {
			return errors.New("a length is too large")
		}
		return u.skip(n * count)
	}
	if count > 1<<32 {
		return fmt.Errorf("a list has %d values", count)
	}
	for i := int64(0); i != count && u.err == nil; i++ {
		if count >= 0 {
			next = 0
		} else if next == open+2 { // the closing bracket
			return nil
		}
		if open == '{' {
			if count >= 0 {
				next = u.byte()
			}
			n, err := u.length(next)
			if err == nil {
				err = u.skip(n)
			}
			if err != nil {
				return err
			}
			next = 0
		}
		of := kind
		if of == 0 {
			if of = next; of == 0 {
				of = u.byte()
			}
		}
		if err := u.value(of, depth+1); err != nil {
			return err
		}
		if count < 0 {
			next = u.byte()
		}
	}
	return u.err
}

// LightGBM scans LightGBM's text: names, numbers and nothing that is evaluated.
type LightGBM struct{}

// Describe names the format and its rules.
func (LightGBM) Describe() scan.Description {
	return scan.Description{Name: "lightgbm", Title: "LightGBM model", Rules: []scan.Rule{{ID: "lightgbm-line", Title: "A line is not as LightGBM writes it"}}}
}

// Match reports the first two lines.
func (LightGBM) Match(p scan.Probe) bool {
	return regexp.MustCompile(`^tree\r?\nversion=`).Match(p.Head)
}

const maxLine = 8 << 20

var line = regexp.MustCompile(`^(?:|tree|average_output|parameters:|end of parameters|end of trees|feature_importances:|Tree=[0-9]+|pandas_categorical:.*|[A-Za-z_][\w .+-]*=.*|\[[a-z_0-9]+: .*\])$`)

// Scan reads the lines.
func (LightGBM) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	lines := bufio.NewScanner(content)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for offset := int64(0); lines.Scan(); offset += int64(len(lines.Bytes())) + 1 {
		b := bytes.TrimSuffix(lines.Bytes(), []byte("\r"))
		if !line.Match(b) || bytes.ContainsFunc(b, func(c rune) bool { return c < ' ' && c != '\t' }) {
			r.Undecided("lightgbm-line", f.Place(offset, ""), "A line is not as LightGBM writes it, so what it is there for is not known.", "Save the model anew.")
			return nil
		}
	}
	return lines.Err()
}
