package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// recognise opens a file or folder in the format that its content shows.
func recognise(ctx context.Context, path string, o *Options) (format, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openImages(ctx, path, o)
	}
	src, head, err := openSource(ctx, path)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte(npyMagic)):
		return openNPY(ctx, src, o)
	case isIDX(head):
		return openIDX(ctx, src, o)
	case !src.gzip && bytes.HasPrefix(head, []byte("PAR1")):
		return openParquet(ctx, src)
	case !src.gzip && bytes.HasPrefix(head, []byte("PK")):
		return openNPZ(ctx, src, o)
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return nil, errors.New("is text in UTF-16: save it in UTF-8")
	case len(bytes.TrimSpace(head)) == 0:
		return nil, errors.New("is empty")
	case bytes.IndexByte(head, 0) >= 0:
		return nil, errors.New("is in no known format: give a CSV, TSV, Parquet, NPY, NPZ, IDX or JSON Lines file, or a folder of images")
	case bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), " \t\r\n"), []byte("{")):
		return openJSONL(ctx, src)
	}
	return openCSV(ctx, src, o.Schema)
}

const byteOrderMark = "\ufeff"

// input is a file to be read from its beginning, as often as wanted.
type input struct {
	path string
	size int64 // of the file
	gzip bool
}

// openSource finds out whether a file is compressed, and gives the head of its content.
func openSource(ctx context.Context, path string) (src input, head []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return src, nil, err
	}
	if !info.Mode().IsRegular() {
		return src, nil, errors.New("is not a regular file")
	}
	src = input{path: path, size: info.Size()}
	if head, err = src.head(ctx, 512); err == nil && bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		src.gzip = true
		head, err = src.head(ctx, 512)
	}
	return src, head, err
}

// open starts a pass over the content, which ends with the context.
func (s input) open(ctx context.Context) (io.ReadCloser, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	var r io.Reader = &contextReader{ctx, f}
	if s.gzip {
		if r, err = gzip.NewReader(bufio.NewReaderSize(r, 1<<16)); err != nil {
			return nil, errors.Join(fmt.Errorf("is not a readable gzip file: %w", err), f.Close())
		}
	}
	return struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}

// text starts a pass over the content as text, without a byte order mark.
func (s input) text(ctx context.Context) (*bufio.Reader, io.Closer, error) {
	r, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	b := bufio.NewReaderSize(r, 1<<16)
	if head, _ := b.Peek(len(byteOrderMark)); string(head) == byteOrderMark {
		_, _ = b.Discard(len(byteOrderMark)) // it is in the buffer
	}
	return b, r, nil
}

func (s input) head(ctx context.Context, n int) ([]byte, error) {
	r, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	head := make([]byte, n)
	n, err = io.ReadFull(r, head)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return head[:n], nil
}

// deflateRatio is the most that DEFLATE can compress (1032 to 1); no more content
// than that can come from a file, whatever its header claims.
const deflateRatio = 1032

// plausible reports whether the file can hold n bytes of content.
func (s input) plausible(n int64) bool {
	if s.gzip {
		return n/deflateRatio <= s.size
	}
	return n <= s.size
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func hashFile(ctx context.Context, path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, &contextReader{ctx, f})
	if err != nil {
		return File{}, err
	}
	return File{Path: path, Bytes: n, SHA256: Digest(h.Sum(nil))}, nil
}
