package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// File is content to be scanned: a file on disk, a part of one, or an entry of a container.
// It can be read from its start as often as wanted, and nothing is copied to disk.
type File struct {
	Path  string // of the file on disk
	Entry string // within containers; empty for the file itself
	Depth int    // how many containers it is in

	size  int64                         // -1 until a reader has come to the end
	at    io.ReaderAt                   // nil where it can be read only from its start
	again bool                          // reading at may unpack the content again
	open  func() (io.ReadCloser, error) // where at is nil
	work  *work
	ended bool // a reader of open came to the end without an error
}

// Place gives a place in the file.
func (f *File) Place(offset int64, node string) Place {
	return Place{File: f.Path, Entry: f.Entry, Offset: offset, Node: node}
}

// Size is how many bytes there are, -1 where it is not known before they are read.
func (f *File) Size() int64 { return f.size }

func (f *File) child(name string, size int64) *File {
	entry := name
	if f.Entry != "" {
		entry = f.Entry + "!" + name
	}
	return &File{Path: f.Path, Entry: entry, Depth: f.Depth + 1, size: size, work: f.work}
}

// Section is a part of the file as an entry of its own. It is read in place. A part that
// is not within the file is cut at its end.
func (f *File) Section(name string, offset, size int64) *File {
	c := f.child(name, size)
	if f.at != nil {
		offset = min(max(offset, 0), f.size)
		c.size = min(max(size, 0), f.size-offset)
		c.at, c.again = io.NewSectionReader(f.at, offset, c.size), f.again
		return c
	}
	c.size = -1
	c.open = func() (io.ReadCloser, error) {
		r, err := f.open()
		if err != nil {
			return nil, err
		}
		if _, err := io.CopyN(io.Discard, r, offset); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		if size < 0 {
			return r, nil
		}
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(r, size), r}, nil
	}
	return c
}

// Stream is an entry that must be unpacked to be read. Open gives its content from the
// start; an error while reading, such as a wrong checksum, leaves the entry undecided. The
// size is what the container claims, -1 for none; another one is reported.
func (f *File) Stream(name string, size int64, open func() (io.ReadCloser, error)) *File {
	c := f.child(name, -1)
	c.open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil || size < 0 {
			return r, err
		}
		return &sized{r, size}, nil
	}
	return c
}

// sized is an error where content is not as long as its container claims.
type sized struct {
	io.ReadCloser
	left int64
}

func (s *sized) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.left -= int64(n)
	if s.left < 0 || errors.Is(err, io.EOF) && s.left != 0 {
		return n, errors.New("its content is not as long as its container says")
	}
	return n, err
}

// errUnpacked ends reading where a container unpacks to more than is allowed.
var errUnpacked = errors.New("it unpacks to more than is allowed for its size")

// Reader reads the content from its start. It ends with the context, and where a
// container's entries come to more bytes than the limits allow.
func (f *File) Reader(ctx context.Context) (io.ReadCloser, error) {
	if f.at != nil {
		return &reader{ctx: ctx, f: f, r: io.NewSectionReader(f.at, 0, f.size), c: io.NopCloser(nil), size: f.size}, nil
	}
	return f.fromStart(ctx)
}

func (f *File) fromStart(ctx context.Context) (io.ReadCloser, error) {
	r, err := f.open()
	if err != nil {
		return nil, err
	}
	return &reader{ctx: ctx, f: f, r: r, c: r, size: -1}, nil
}

type reader struct {
	ctx  context.Context
	f    *File
	r    io.Reader
	c    io.Closer
	read int64
	size int64 // that it must have, or -1
}

func (r *reader) Close() error { return r.c.Close() }

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.read += int64(n)
	if !r.f.spend(n) {
		return n, errUnpacked
	}
	switch {
	case !errors.Is(err, io.EOF):
	case r.size < 0:
		r.f.ended, r.f.size = true, r.read
	case r.read != r.size:
		return n, fmt.Errorf("%w: the file became shorter while it was read", io.ErrUnexpectedEOF)
	}
	return n, err
}

// spend counts bytes that were read of entries, and reports whether more may be.
func (f *File) spend(n int) bool {
	if f.Depth == 0 {
		return true
	}
	return f.work.unpacked.Add(-int64(n)) >= 0
}

// InPlace gives the content at any offset where that costs nothing, and nil where it would
// have to be unpacked first.
func (f *File) InPlace(ctx context.Context) io.ReaderAt {
	if f.at == nil || f.again {
		return nil
	}
	return &readerAt{ctx, f}
}

// Claim waits until no other file needs much memory. A scanner calls it before it takes
// more than 16 MiB, and may take up to 96 MiB then.
func (f *File) Claim() { f.work.hold() }

// Reserve takes memory that a container needs while its entries are scanned, such as the
// window of a compression. It is an error where less is left of what all may take.
func (f *File) Reserve(n int64) error {
	f.work.hold()
	if n > f.work.memory {
		return fmt.Errorf("to unpack it %d bytes of memory are needed, and %d are left for that", n, f.work.memory)
	}
	f.work.memory -= n
	return nil
}

// Random gives the content at any offset, and its size. Content that must be unpacked is
// read into memory where it is small; of what is larger a part is kept, and the rest is
// unpacked again when it is asked for, so scanners read on rather than to and fro.
func (f *File) Random(ctx context.Context) (io.ReaderAt, int64, error) {
	if f.at == nil {
		if err := f.load(ctx); err != nil {
			return nil, 0, err
		}
	}
	return &readerAt{ctx, f}, f.size, nil
}

// load makes content that must be unpacked one that can be read at any offset. One file on
// disk at a time may do so, for the memory of all together is bounded.
func (f *File) load(ctx context.Context) error {
	f.work.hold()
	r, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	cache := min(cacheBytes, f.work.memory/2)
	held := min(heldBytes, f.work.memory-cache)
	data, err := io.ReadAll(io.LimitReader(r, held+1))
	if err != nil {
		return err
	}
	if int64(len(data)) <= held {
		f.work.memory -= int64(len(data))
		f.at = bytes.NewReader(data)
		return nil
	}
	if cache < blockBytes {
		return fmt.Errorf("it must be unpacked to be read, and only %d bytes of memory are left for that: unpack it and scan what comes out", f.work.memory)
	}
	rest, err := io.Copy(io.Discard, r)
	if err != nil {
		return err
	}
	f.work.memory -= cache
	f.size = int64(len(data)) + rest
	f.at, f.again = f.rewound(ctx, f.size, cache), true
	return nil
}

type readerAt struct {
	ctx context.Context
	f   *File
}

func (r *readerAt) ReadAt(p []byte, offset int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.f.at.ReadAt(p, offset)
	if !r.f.spend(n) {
		return n, errUnpacked
	}
	return n, err
}

// probe reads what the format is recognised by.
func (f *File) probe(ctx context.Context) (Probe, error) {
	r, err := f.Reader(ctx)
	if err != nil {
		return Probe{}, err
	}
	defer r.Close()
	p := Probe{Head: make([]byte, HeadBytes), Size: f.size}
	n, err := io.ReadFull(r, p.Head)
	p.Head = p.Head[:n]
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
		if f.at != nil && int64(n) != f.size {
			err = errors.New("the file became shorter while it was read")
		}
		if f.at == nil && f.ended {
			p.Size = f.size
		}
	}
	if err != nil || f.at == nil || f.again {
		return p, err
	}
	p.Tail = make([]byte, min(TailBytes, f.size))
	if n, err := f.at.ReadAt(p.Tail, f.size-int64(len(p.Tail))); n < len(p.Tail) {
		return p, err
	}
	return p, nil
}

// whole reads content that must be unpacked to its end, unless a scanner has, since only
// there its container knows whether it is intact. It gives the size.
func (f *File) whole(ctx context.Context) (int64, error) {
	if f.at != nil || f.ended {
		return f.size, nil
	}
	r, err := f.Reader(ctx)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return f.size, err
}

// hold takes the lock on memory for content, once for each file on disk.
func (w *work) hold() {
	if !w.held {
		w.runner.loading.Lock()
		w.held = true
	}
}

func (w *work) release() {
	if w.held {
		w.runner.loading.Unlock()
		w.held = false
	}
}
