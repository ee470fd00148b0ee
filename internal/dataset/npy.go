package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

const npyMagic = "\x93NUMPY"

// maxNPYHeader bounds an NPY header; numpy's are a few dozen bytes for an array that is no structure.
const maxNPYHeader = 1 << 16

// openNPY opens an NPY file of features. Its labels are in another file, or in its
// last column where it is a table.
func openNPY(ctx context.Context, src input, o *Options) (format, error) {
	features, err := readNPY(ctx, src)
	if err != nil {
		return nil, err
	}
	labels, err := labelsBeside(ctx, src.path, o)
	if err != nil {
		return nil, err
	}
	return newArrayFormat(features, labels, o)
}

func readNPY(ctx context.Context, src input) (*array, error) {
	r, err := src.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	a, start, err := decodeNPY(r)
	if err != nil {
		return nil, err
	}
	a.name, a.files, a.open = baseName(src.path), []string{src.path}, src.at(start)
	return a, a.check(func(n int64) bool { return src.plausible(start + n) })
}

// decodeNPY reads the header of an NPY file, versions 1 to 3 (numpy's NEP 1), and
// gives where the elements start. Unlike numpy it evaluates nothing: the header is
// matched against the one form that numpy writes.
func decodeNPY(r io.Reader) (*array, int64, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:6]) != npyMagic {
		return nil, 0, errors.New("is not an NPY file")
	}
	size := make([]byte, 2)
	if head[6] > 1 {
		size = make([]byte, 4)
	}
	if head[6] < 1 || head[6] > 3 {
		return nil, 0, fmt.Errorf("is an NPY file of the unknown version %d", head[6])
	}
	if _, err := io.ReadFull(r, size); err != nil {
		return nil, 0, errors.New("is an NPY file that ends in its header: it is cut short")
	}
	n := binary.LittleEndian.Uint32(append(size, 0, 0)[:4])
	if n > maxNPYHeader {
		return nil, 0, fmt.Errorf("claims a header of %d bytes, more than %d", n, maxNPYHeader)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, 0, errors.New("is an NPY file that ends in its header: it is cut short")
	}
	a, err := parseNPYHeader(string(header))
	return a, int64(len(head)+len(size)) + int64(n), err
}

var (
	npyDescr   = regexp.MustCompile(`'descr'\s*:\s*'([^']*)'`)
	npyFields  = regexp.MustCompile(`'descr'\s*:\s*\[`)
	npyFortran = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	npyShape   = regexp.MustCompile(`'shape'\s*:\s*\(([0-9,\sL]*)\)`)
)

func parseNPYHeader(h string) (*array, error) {
	if npyFields.MatchString(h) {
		return nil, errors.New("holds a structured array: save its fields as arrays of their own, or as CSV or Parquet")
	}
	descr, fortran, shape := npyDescr.FindStringSubmatch(h), npyFortran.FindStringSubmatch(h), npyShape.FindStringSubmatch(h)
	if descr == nil || fortran == nil || shape == nil {
		return nil, errors.New("has an NPY header that cannot be read")
	}
	a := &array{fortran: fortran[1] == "True"}
	var err error
	if a.element, err = npyElement(descr[1]); err != nil {
		return nil, err
	}
	for _, d := range strings.Split(shape[1], ",") {
		if d = strings.TrimRight(strings.TrimSpace(d), "L"); d == "" {
			continue
		}
		n, err := strconv.ParseInt(d, 10, 64)
		if err != nil || n > math.MaxInt {
			return nil, fmt.Errorf("claims a dimension of %s", quote(d))
		}
		a.shape = append(a.shape, int(n))
	}
	if len(a.shape) > 8 {
		return nil, fmt.Errorf("has %d dimensions, more than 8", len(a.shape))
	}
	return a, nil
}

// npyElement gives the element type of a numpy type string, such as "<f4".
func npyElement(descr string) (element, error) {
	if len(descr) < 2 {
		return element{}, fmt.Errorf("has the unknown element type %s", quote(descr))
	}
	var order binary.ByteOrder = binary.LittleEndian
	if descr[0] == '>' {
		order = binary.BigEndian
	}
	size, err := strconv.Atoi(descr[2:])
	if err != nil || size < 0 || size > 1<<16 {
		size = 0
	}
	if e, ok := number(descr[1], size, order); ok {
		return e, nil
	}
	switch descr[1] {
	case 'O':
		return element{}, errors.New("holds Python objects, which only running code could read: it is refused; save numbers instead")
	case 'S':
		return element{size: size, text: func(b []byte) string { return strings.TrimRight(string(b), "\x00") }}, nil
	case 'U':
		return element{size: 4 * size, text: func(b []byte) string { return utf32(b, order) }}, nil
	}
	return element{}, fmt.Errorf("holds elements of type %s, which are not supported: save them as float32, float64 or integers", quote(descr))
}

func utf32(b []byte, order binary.ByteOrder) string {
	var s strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		c := order.Uint32(b)
		if c > utf8.MaxRune {
			c = utf8.RuneError
		}
		s.WriteRune(rune(c))
	}
	return strings.TrimRight(s.String(), "\x00")
}
