package scan

import (
	"container/list"
	"context"
	"fmt"
	"io"
)

// The memory that unpacked content takes: what is smaller is held as a whole, and of what
// is larger the blocks that were asked for last.
const (
	heldBytes  = 24 << 20
	cacheBytes = 16 << 20
	blockBytes = 64 << 10
)

// rewound gives content that can be read only from its start at any offset. It reads on
// where it can, keeps the blocks that were asked for last, and unpacks anew from the start
// where it must, which counts towards what may be unpacked as every reading does.
type rewound struct {
	ctx    context.Context
	file   *File
	size   int64
	r      io.ReadCloser
	at     int64 // what r gives next
	blocks map[int64]*list.Element
	order  list.List // of *block, the one that was asked for last in front
	most   int
}

type block struct {
	number int64
	data   []byte
}

func (f *File) rewound(ctx context.Context, size, cache int64) *rewound {
	return &rewound{ctx: ctx, file: f, size: size, blocks: map[int64]*list.Element{}, most: int(max(1, cache/blockBytes))}
}

func (w *rewound) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		at := offset + int64(n)
		if at < 0 || at >= w.size {
			return n, io.EOF
		}
		b, err := w.block(at / blockBytes)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b[at%blockBytes:])
	}
	return n, nil
}

func (w *rewound) block(number int64) ([]byte, error) {
	if e := w.blocks[number]; e != nil {
		w.order.MoveToFront(e)
		return e.Value.(*block).data, nil
	}
	from := number * blockBytes
	if w.r == nil || from < w.at {
		if err := w.rewind(); err != nil {
			return nil, err
		}
	}
	skipped, err := io.CopyN(io.Discard, w.r, from-w.at)
	w.at += skipped
	if err != nil {
		return nil, w.changed(err)
	}
	var b *block
	if w.order.Len() >= w.most {
		last := w.order.Back()
		b = w.order.Remove(last).(*block)
		delete(w.blocks, b.number)
	} else {
		b = &block{data: make([]byte, blockBytes)}
	}
	b.number, b.data = number, b.data[:min(blockBytes, w.size-from)]
	n, err := io.ReadFull(w.r, b.data)
	w.at += int64(n)
	if err != nil {
		return nil, w.changed(err)
	}
	w.blocks[number] = w.order.PushFront(b)
	return b.data, nil
}

func (w *rewound) rewind() (err error) {
	w.close()
	w.at = 0
	w.r, err = w.file.fromStart(w.ctx)
	return err
}

// close lets go of what is read from. All that is wrong with it was told by reading.
func (w *rewound) close() {
	if w.r != nil {
		_ = w.r.Close()
		w.r = nil
	}
}

func (w *rewound) changed(err error) error {
	return fmt.Errorf("unpacked again, it ends at byte %d of %d: %w", w.at, w.size, err)
}
