// Package compressed scans content that is compressed as a whole: it unpacks it, within
// the runner's limits, and hands over what comes out.
package compressed

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"

	"assay/internal/scan"
)

// maxWindow is how far back a compression may refer, which is what unpacking keeps in
// memory: xz's presets up to 7 and zstd's up to 19 stay below.
const maxWindow = 16 << 20

// Scanner scans content of one compression.
type Scanner struct {
	name, title string
	match       func(scan.Probe) bool
	open        func(io.Reader) (io.ReadCloser, error)
}

// Scanners gives a scanner for each compression.
func Scanners() []scan.Scanner {
	return []scan.Scanner{
		Scanner{"gzip", "Content compressed by gzip", magic("\x1f\x8b\x08"), func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }},
		Scanner{"zlib", "Content compressed by zlib, as joblib writes it", matchZlib, openZlib},
		Scanner{"bzip2", "Content compressed by bzip2", matchBzip2, func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
		Scanner{"xz", "Content compressed by xz", magic("\xfd7zXZ\x00"), openXZ},
		Scanner{"zstd", "Content compressed by Zstandard", matchZstd, openZstd},
		Scanner{"lz4", "Content compressed by LZ4", magic("\x04\x22\x4d\x18"), func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(lz4.NewReader(r)), nil }},
		Scanner{"lzma", "Content compressed by LZMA alone, as joblib writes it", matchLZMA, openLZMA},
	}
}

// Describe names the format. It has no rules: what comes out is judged.
func (s Scanner) Describe() scan.Description {
	return scan.Description{Name: s.name, Title: s.title}
}

// Match reports the compression's first bytes.
func (s Scanner) Match(p scan.Probe) bool { return s.match(p) }

// Scan hands over what comes out. The readers refuse bytes after the end that are no
// further member, so all of the content is accounted for where none gives an error.
func (s Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	return r.Entry(ctx, f.Stream("content", -1, func() (io.ReadCloser, error) {
		packed, err := f.Reader(ctx)
		if err != nil {
			return nil, err
		}
		buffered := bufio.NewReaderSize(packed, 64<<10)
		out, err := s.open(buffered)
		if err != nil {
			return nil, fmt.Errorf("it begins as %s and cannot be unpacked: %w", s.name, err)
		}
		return &stream{out, packed, buffered, s.name}, nil
	}))
}

type stream struct {
	io.ReadCloser
	packed   io.Closer
	buffered *bufio.Reader
	name     string
}

func (s *stream) Close() error {
	s.ReadCloser.Close()
	return s.packed.Close()
}

// Read ends with an error where something follows that was not unpacked.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err == io.EOF {
		if _, rest := s.buffered.ReadByte(); rest != io.EOF {
			return n, fmt.Errorf("something follows the %s stream", s.name)
		}
	}
	return n, err
}

func magic(prefix string) func(scan.Probe) bool {
	return func(p scan.Probe) bool { return bytes.HasPrefix(p.Head, []byte(prefix)) }
}

func matchBzip2(p scan.Probe) bool {
	h := p.Head
	return len(h) >= 10 && h[0] == 'B' && h[1] == 'Z' && h[2] == 'h' && h[3] >= '1' && h[3] <= '9' &&
		(bytes.HasPrefix(h[4:], []byte("1AY&SY")) || bytes.HasPrefix(h[4:], []byte("\x17\x72\x45\x38\x50\x90")))
}

// matchZlib reports content whose beginning can be unpacked, since the two bytes of the
// header (RFC 1950, 2.2) begin other things too. Joblib before 0.10 put its own mark and
// the size in hexadecimal before it.
func matchZlib(p scan.Probe) bool {
	h := p.Head
	if bytes.HasPrefix(h, []byte(joblibMark)) {
		return true
	}
	if len(h) < 6 || h[0]&0x0f != 8 || h[0]>>4 > 7 || (int(h[0])<<8|int(h[1]))%31 != 0 {
		return false
	}
	r, err := zlib.NewReader(bytes.NewReader(h))
	if err != nil {
		return false
	}
	_, err = io.CopyN(io.Discard, r, 64)
	return err == nil || err == io.EOF || err == io.ErrUnexpectedEOF
}

const (
	joblibMark = "ZF0x"
	joblibSize = 19 // characters of the size after "ZF"
)

func openZlib(r io.Reader) (io.ReadCloser, error) {
	b := r.(*bufio.Reader)
	if mark, err := b.Peek(len(joblibMark)); err == nil && string(mark) == joblibMark {
		if _, err := b.Discard(len("ZF") + joblibSize); err != nil {
			return nil, err
		}
	}
	return zlib.NewReader(b)
}

func openXZ(r io.Reader) (io.ReadCloser, error) {
	x, err := xz.NewReader(r, maxWindow)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(x), nil
}

// matchZstd reports a frame, or a skippable one with a frame after it.
func matchZstd(p scan.Probe) bool {
	h := p.Head
	return len(h) >= 4 && (bytes.HasPrefix(h, []byte("\x28\xb5\x2f\xfd")) || h[0]&0xf0 == 0x50 && bytes.Equal(h[1:4], []byte("\x2a\x4d\x18")))
}

func openZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// matchLZMA reports the 13-byte header of LZMA alone: properties, a dictionary of a size
// that encoders write, and the content's size or none.
func matchLZMA(p scan.Probe) bool {
	h := p.Head
	if len(h) < 14 || h[0] != 0x5d || h[1] != 0 || h[2] != 0 || h[13] != 0 {
		return false
	}
	return bytes.Equal(h[5:13], bytes.Repeat([]byte{0xff}, 8)) || bytes.Equal(h[10:13], []byte{0, 0, 0})
}

func openLZMA(r io.Reader) (io.ReadCloser, error) {
	l, err := lzma.ReaderConfig{DictCap: maxWindow}.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(l), nil
}
