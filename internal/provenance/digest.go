package provenance

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/blake2b"
)

// Options say how files are read.
type Options struct {
	Workers  int                     // files at a time; 0 for as many as there are processors
	Progress func(done, total int64) // bytes; never called twice at a time; may be nil
}

// hashes are the algorithms of the registry that are known.
var hashes = map[string]func() hash.Hash{
	"sha256":  sha256.New,
	"blake2b": func() hash.Hash { h, _ := blake2b.New512(nil); return h }, // without a key there is no error
}

const usualHash = "sha256"

// digests gives the digests of files, each of all of it, or of its parts of a size where
// that is not 0: in hexadecimal, by file. Files are read side by side, a megabyte at a time.
func digests(ctx context.Context, files []File, algorithm string, part int64, o Options) ([][]string, error) {
	var total, done int64
	for _, f := range files {
		total += f.Size
	}
	var mu sync.Mutex
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		done += int64(n)
		if o.Progress != nil {
			o.Progress(done, max(total, done))
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	out := make([][]string, len(files))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(cmp.Or(o.Workers, runtime.GOMAXPROCS(0)), len(files)) {
		all.Go(func() {
			buffer := make([]byte, 1<<20)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(files) {
					return
				}
				var err error
				if out[i], err = digest(ctx, files[i], algorithm, part, buffer, count); err != nil {
					stop(fmt.Errorf("%s: %w", files[i].Name, err)) // the first counts
				}
			}
		})
	}
	all.Wait()
	return out, context.Cause(ctx)
}

func digest(ctx context.Context, f File, algorithm string, part int64, buffer []byte, count func(int)) (sums []string, err error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h := hashes[algorithm]()
	left := part // of the part
	empty := true
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		want := buffer
		if part > 0 {
			want = buffer[:min(int64(len(buffer)), left)]
		}
		n, err := r.Read(want)
		h.Write(want[:n])
		count(n)
		empty = empty && n == 0
		if left -= int64(n); part > 0 && left == 0 {
			sums = append(sums, hex.EncodeToString(h.Sum(nil)))
			h.Reset()
			left, empty = part, true
		}
		switch {
		case errors.Is(err, io.EOF):
			if part == 0 || !empty {
				sums = append(sums, hex.EncodeToString(h.Sum(nil)))
			}
			return sums, nil
		case err != nil:
			return nil, err
		}
	}
}
