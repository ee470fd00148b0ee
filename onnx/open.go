package onnx

import (
	"fmt"
	"os"
	"path/filepath"
)

// Open reads a model from a file, which is held in memory once: the model's tensors
// are views of it. Content that the model keeps in other files of its folder is
// read when it is first used.
func Open(path string) (*Model, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	m, err := decode(data, &externalFiles{dir: filepath.Dir(path)})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}
