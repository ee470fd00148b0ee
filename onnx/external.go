package onnx

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"assay/onnx/internal/pb"
)

// externalFiles opens the files beside a model that hold tensors' content. No
// path leaves the model's folder, not by "..", not by a link: os.Root sees to it.
type externalFiles struct {
	dir   string
	named map[string]bool // the files that tensors name, while a model is read; nil where nobody asks
}

// external is a place in such a file. Its content is read when it is first used
// and then kept. It is read rather than mapped: a mapped file that another program
// cuts short ends the process with a signal that nothing can handle, where a read
// ends with an error.
type external struct {
	files          *externalFiles
	path           string // relative to the folder
	offset, length int64

	mu   sync.Mutex
	data []byte
}

// locate reads the external_data entries of a tensor whose content takes want
// bytes, and makes sure that the file is there and long enough before anything
// relies on it.
func (f *externalFiles) locate(entries []*pb.Entry, want int64) (*external, error) {
	if f == nil {
		return nil, errors.New("its content is in another file, so the model must be opened from its folder")
	}
	e := &external{files: f, length: -1}
	for _, entry := range entries {
		var err error
		switch entry.Key {
		case "location":
			e.path = filepath.FromSlash(entry.Value)
		case "offset":
			e.offset, err = strconv.ParseInt(entry.Value, 10, 64)
		case "length":
			e.length, err = strconv.ParseInt(entry.Value, 10, 64)
			if err == nil && e.length < 0 {
				err = fmt.Errorf("%d is negative", e.length)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("its external data has a bad %s: %w", entry.Key, err)
		}
	}
	if e.length < 0 {
		e.length = want
	}
	switch {
	case e.offset < 0 || e.length != want || e.offset > math.MaxInt64-want:
		return nil, fmt.Errorf("its external data has offset %d and length %d where its shape wants %d bytes", e.offset, e.length, want)
	case e.path == "":
		return nil, errors.New("its external data names no file")
	case !filepath.IsLocal(e.path):
		return nil, fmt.Errorf("its external data path %q leaves the model's folder", e.path)
	}
	file, err := e.open()
	if err != nil {
		return nil, err
	}
	if f.named != nil {
		f.named[filepath.ToSlash(filepath.Clean(e.path))] = true
	}
	return e, file.Close()
}

// open opens the file and checks that the content is in it. Opening does not wait,
// as it would for the other end of a pipe.
func (e *external) open() (*os.File, error) {
	root, err := os.OpenRoot(e.files.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(e.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("its external data cannot be opened from the model's folder: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("its external data %q is not a regular file", e.path)
	case info.Size() < e.offset+e.length:
		err = fmt.Errorf("its external data ends at byte %d, but %q has only %d bytes", e.offset+e.length, e.path, info.Size())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// read gives the content. After an error the next call tries again.
func (e *external) read(t *Tensor) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.data != nil {
		return e.data, nil
	}
	f, err := e.open()
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	defer f.Close()
	data := make([]byte, e.length)
	if _, err := f.ReadAt(data, e.offset); err != nil && !(err == io.EOF && e.length == 0) {
		return nil, fmt.Errorf("tensor %q: its external data: %w", t.Name, err)
	}
	e.data = normalBools(t.Type, data)
	return e.data, nil
}

// copyTo writes the content without keeping it.
func (e *external) copyTo(w io.Writer, t *Tensor) error {
	e.mu.Lock()
	data := e.data
	e.mu.Unlock()
	if data != nil || t.Type == Bool {
		data, err := e.read(t)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	f, err := e.open()
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	defer f.Close()
	_, err = io.CopyN(w, io.NewSectionReader(f, e.offset, e.length), e.length)
	return err
}
