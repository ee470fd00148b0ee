package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// idxTypes are the element types of the IDX format by their code, as MNIST's page
// describes it (LeCun, Cortes and Burges). Numbers are big-endian.
var idxTypes = map[byte]struct {
	kind byte
	size int
}{0x08: {'u', 1}, 0x09: {'i', 1}, 0x0b: {'i', 2}, 0x0c: {'i', 4}, 0x0d: {'f', 4}, 0x0e: {'f', 8}}

func isIDX(head []byte) bool {
	if len(head) < 8 || head[0] != 0 || head[1] != 0 {
		return false
	}
	_, ok := idxTypes[head[2]]
	return ok && head[3] > 0 && head[3] <= 8
}

// openIDX opens a file of arrays and the labels that belong to it.
func openIDX(ctx context.Context, src input, o *Options) (format, error) {
	features, err := readIDX(ctx, src)
	if err != nil {
		return nil, err
	}
	if len(features.shape) == 1 && !o.Unlabelled {
		return nil, errors.New("holds labels: name the file of images or records instead")
	}
	labels, err := labelsBeside(ctx, src.path, o)
	if err != nil {
		return nil, err
	}
	return newArrayFormat(features, labels, o)
}

// labelsBeside finds labels: the named file, or the one named as MNIST's are.
func labelsBeside(ctx context.Context, path string, o *Options) (*array, error) {
	if o.Unlabelled {
		return nil, nil
	}
	if o.LabelFile != "" {
		return labelArray(ctx, o.LabelFile)
	}
	name := filepath.Base(path)
	for _, dimensions := range []string{"2", "3", "4"} {
		for _, between := range []string{"-", "."} { // both spellings are about
			beside := strings.Replace(name, "images"+between+"idx"+dimensions, "labels"+between+"idx1", 1)
			if beside == name {
				continue
			}
			for _, candidate := range []string{beside, strings.TrimSuffix(beside, ".gz"), beside + ".gz"} {
				full := filepath.Join(filepath.Dir(path), candidate)
				if _, err := os.Stat(full); err == nil {
					return labelArray(ctx, full)
				}
			}
		}
	}
	return nil, nil
}

// readIDX reads the header of an IDX file.
func readIDX(ctx context.Context, src input) (*array, error) {
	head, err := src.head(ctx, 4+4*8)
	if err != nil {
		return nil, err
	}
	if !isIDX(head) {
		return nil, errors.New("is not an IDX file")
	}
	start := 4 + 4*int(head[3])
	if len(head) < start {
		return nil, errors.New("is an IDX file that ends in its header: it is cut short")
	}
	t := idxTypes[head[2]]
	a := &array{name: baseName(src.path), files: []string{src.path}}
	a.element, _ = number(t.kind, t.size, binary.BigEndian)
	for i := 4; i < start; i += 4 {
		a.shape = append(a.shape, int(binary.BigEndian.Uint32(head[i:])))
	}
	a.open = src.at(int64(start))
	return a, a.check(func(n int64) bool { return src.plausible(int64(start) + n) })
}

// at opens the content from an offset on.
func (s input) at(offset int64) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		r, err := s.open(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := io.CopyN(io.Discard, r, offset); err != nil {
			r.Close()
			return nil, fmt.Errorf("ends in its header: %w", err)
		}
		return r, nil
	}
}
