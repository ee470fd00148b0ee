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

	"assay/onnx/internal/pb"
)

// externalFiles opens the files beside a model that hold tensors' content. No
// path leaves the model's folder, not by "..", not by a link: os.Root sees to it.
type externalFiles struct {
	dir string
}

// external is a place in such a file.
type external struct {
	files          *externalFiles
	path           string // relative to the folder
	offset, length int64

	once sync.Once
	data []byte
	err  error
}

// locate reads the external_data entries of a tensor whose content takes want bytes.
func (f *externalFiles) locate(entries []*pb.Entry, want int64) (*external, error) {
	if f == nil {
		return nil, errors.New("its content is in another file, so the model must be opened from its folder")
	}
	e := &external{files: f, length: -1}
	for _, entry := range entries {
		var err error
		switch entry.Key {
		case "location":
			e.path = entry.Value
		case "offset":
			e.offset, err = strconv.ParseInt(entry.Value, 10, 64)
		case "length":
			e.length, err = strconv.ParseInt(entry.Value, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("its external data has a bad %s: %w", entry.Key, err)
		}
	}
	if e.length < 0 {
		e.length = want
	}
	if e.offset < 0 || e.length != want || e.offset > math.MaxInt64-want {
		return nil, fmt.Errorf("its external data has offset %d and length %d where its shape wants %d bytes", e.offset, e.length, want)
	}
	if !filepath.IsLocal(filepath.FromSlash(e.path)) {
		return nil, fmt.Errorf("its external data path %q leaves the model's folder", e.path)
	}
	return e, e.check()
}

func (e *external) open() (*os.File, error) {
	root, err := os.OpenRoot(e.files.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(e.path))
	if err != nil {
		return nil, fmt.Errorf("its external data: %w", err)
	}
	return f, nil
}

// check makes sure that the file is there and long enough before anything relies on it.
func (e *external) check() error {
	f, err := e.open()
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("its external data %q is not a regular file", e.path)
	case info.Size() < e.offset+e.length:
		return fmt.Errorf("its external data ends at byte %d, but %q has only %d bytes", e.offset+e.length, e.path, info.Size())
	}
	return nil
}

// read gives the content, read on first use.
func (e *external) read(t *Tensor) ([]byte, error) {
	e.once.Do(func() {
		var f *os.File
		if f, e.err = e.open(); e.err != nil {
			return
		}
		defer f.Close()
		e.data = make([]byte, e.length)
		_, e.err = io.ReadFull(io.NewSectionReader(f, e.offset, e.length), e.data)
	})
	if e.err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, e.err)
	}
	return e.data, nil
}
