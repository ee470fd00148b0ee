package zip

import (
	"bufio"
	"compress/bzip2"
	"compress/flate"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	"assay/internal/scan"
)

// scan hands over each entry, but for the raw content of PyTorch's tensors, which nothing
// could be recognised in, and checks the checksums.
func (a *archive) scan(ctx context.Context) error {
	torch := a.torchRoots()
	for _, e := range a.list {
		if strings.HasSuffix(e.name, "/") {
			if e.length != 0 || e.packed != 0 && e.method == 0 {
				a.mismatch(e.header, e.name, "Entry %q is a folder that has content.", e.name)
			}
			continue
		}
		c := a.content(e)
		if c == nil {
			a.unreadable(e.header, e.name, "Entry %q is packed by method %d, which is not read.", e.name, e.method)
			continue
		}
		root, rest, _ := strings.Cut(e.name, "/")
		kind := torch[root].kind(rest)
		switch kind {
		case "storage":
			// Checked below and no more: its bytes are numbers, whatever they look like.
		case "code":
			if err := a.script(ctx, c.file, e); err != nil {
				return err
			}
		default:
			if err := a.report.Entry(ctx, c.file); err != nil {
				return err
			}
		}
		if err := a.check(ctx, e, c); err != nil {
			return err
		}
	}
	return nil
}

// content is an entry's content, and what was seen of it.
type content struct {
	file   *scan.File
	done   bool // read to its end at least once
	sum    uint32
	length uint64
	spare  int64 // bytes that were left when the content had ended
}

// content makes an entry a file, or nil where its compression is not known. It unpacks
// whatever sizes and checksum are stated, as some loaders do; check compares them.
func (a *archive) content(e *entry) *content {
	c := &content{}
	if e.method == 0 {
		c.file = a.file.Section(e.name, e.data, int64(e.packed))
		return c
	}
	unpack := unpackers[e.method]
	if unpack == nil {
		return nil
	}
	c.file = a.file.Stream(e.name, -1, func() (io.ReadCloser, error) {
		packed := &counter{r: bufio.NewReaderSize(io.NewSectionReader(a.at, e.data, int64(e.packed)), 32<<10)}
		r, err := unpack(packed)
		if err != nil {
			return nil, err
		}
		return &checked{ReadCloser: r, packed: packed, size: int64(e.packed), content: c}, nil
	})
	return c
}

// unpackers are the compression methods of APPNOTE 4.4.5 that are read.
var unpackers = map[uint16]func(*counter) (io.ReadCloser, error){
	8:  func(r *counter) (io.ReadCloser, error) { return flate.NewReader(r), nil },
	12: func(r *counter) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil },
	93: func(r *counter) (io.ReadCloser, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	},
}

const maxWindow = 16 << 20

// counter counts what is taken of the packed content. It reads single bytes, so that
// nothing is taken beyond its end.
type counter struct {
	r *bufio.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// checked notes the checksum and length of what is unpacked.
type checked struct {
	io.ReadCloser
	packed  *counter
	size    int64
	content *content
	sum     uint32
	length  uint64
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.sum = crc32.Update(c.sum, crc32.IEEETable, p[:n])
	c.length += uint64(n)
	if errors.Is(err, io.EOF) {
		c.content.done, c.content.sum, c.content.length, c.content.spare = true, c.sum, c.length, c.size-c.packed.n
	}
	return n, err
}

// check compares what an entry holds with what is stated of it.
func (a *archive) check(ctx context.Context, e *entry, c *content) error {
	if !c.done {
		r, err := c.file.Reader(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		sum := crc32.NewIEEE()
		n, err := io.Copy(sum, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.unreadable(e.header, e.name, "Entry %q could not be unpacked to its end: %v.", e.name, err)
			return nil
		}
		c.sum, c.length = sum.Sum32(), uint64(n)
	}
	if c.length != e.length || c.spare != 0 {
		a.mismatch(e.header, e.name, "Entry %q unpacks to %d bytes with %d left over, where %d are stated.", e.name, c.length, c.spare, e.length)
	}
	if c.sum != e.sum {
		a.find("zip-checksum", scan.High, e.header, e.name, "Entry %q has checksum %08x where %08x is stated: it was changed after it was packed, and loaders that do not check load it.", e.name, c.sum, e.sum)
	}
	return nil
}
