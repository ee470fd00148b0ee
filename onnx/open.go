package onnx

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Open reads a model from a file, which is held in memory once: the model's tensors
// are views of it. Content that the model keeps in other files of its folder is
// read when it is first used.
func Open(path string) (*Model, error) {
	m, _, err := open(path)
	return m, err
}

// ExternalFiles gives the other files in the folder of a model's file that hold content of it,
// relative to that folder with slashes, sorted.
func ExternalFiles(path string) ([]string, error) {
	_, files, err := open(path)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(files.named)), nil
}

func open(path string) (*Model, *externalFiles, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open model: %w", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open model: %w", err)
	}
	files := &externalFiles{dir: filepath.Dir(path), named: map[string]bool{}}
	m, err := decode(data, files)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, files, nil
}
