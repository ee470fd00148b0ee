package hdf5

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"assay/internal/scan"
	"assay/internal/scan/jsontext"
)

const (
	windowBytes = 1 << 20
	maxFound    = 50
)

// texts judges every JSON object in the file, wherever it stands. An attribute's text is in
// one piece, so that no structure needs to be trusted to find Keras's description of
// layers: not its place, its name nor the group it belongs to.
func (w *walk) texts(ctx context.Context) error {
	budget := 8*w.size + 16<<20 // bytes read as JSON, all attempts together
	window := make([]byte, windowBytes)
	for start := int64(0); start < w.size; start += windowBytes - 64 {
		n, err := w.at.ReadAt(window[:min(windowBytes, w.size-start)], start)
		if err != nil && n < int(min(windowBytes, w.size-start)) {
			return err
		}
		for i := 0; i < n && i < windowBytes-64; i++ {
			j := bytes.IndexByte(window[i:n], '{')
			if j < 0 {
				break
			}
			if i += j; !opens(window[i+1 : n]) {
				continue
			}
			used, err := w.object(ctx, start+int64(i))
			if err != nil {
				return err
			}
			if budget -= used; budget < 0 {
				w.report.Undecided("hdf5-structure", w.file.Place(start+int64(i), ""), "It has so many beginnings of JSON that not all of them were read.", "Save the model anew as safetensors or ONNX.")
				return nil
			}
		}
	}
	return nil
}

// opens reports whether an object's first key follows a brace.
func opens(b []byte) bool {
	for i, c := range b[:min(len(b), 60)] {
		switch c {
		case ' ', '\t', '\r', '\n':
		case '"':
			return i+1 < len(b)
		default:
			return false
		}
	}
	return len(b) >= 60
}

// object judges the JSON at an offset, and gives how many bytes of it were read. Numbers
// that happen to look like the beginning of an object are none.
func (w *walk) object(ctx context.Context, offset int64) (int64, error) {
	in := &counted{r: io.NewSectionReader(w.at, offset, w.size-offset)}
	var found []scan.Finding
	place := func(at int64, node string) scan.Place { return w.file.Place(offset+at, node) }
	err := jsontext.Judge(ctx, in, place, func(f scan.Finding) {
		if len(found) < maxFound && f.Rule != "json-unread" {
			found = append(found, f)
		}
	})
	if err != nil {
		return in.n, fmt.Errorf("its text at byte %d could not be read: %w", offset, err)
	}
	for _, f := range found {
		w.report.Add(f)
	}
	return in.n, nil
}

// counted counts what is read, in small pieces, since most objects end soon.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p[:min(len(p), 4<<10)])
	c.n += int64(n)
	return n, err
}
