package main

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"assay/internal/dataset"
	"assay/internal/method"
)

// save writes the adversarial examples of an attack as arrays in NPZ: x, the records
// in the data's own shape; label, their class, and answer, that which the model gives them,
// as the model numbers them; and index, which record each was made of. The nearest of a unit counts.
func (a *attack) save(path string, results []method.Result) error {
	var x []float32
	var label, answer, index []int64
	for i, r := range results {
		var best *method.MethodResult
		for k := range r.Methods {
			if m := &r.Methods[k]; m.Success && (best == nil || m.Distance < best.Distance) {
				best = m
			}
		}
		if best == nil {
			continue
		}
		x = append(x, a.rows.Record(best.Example)...)
		label, answer, index = append(label, int64(a.inputs[i].Label)), append(answer, int64(r.Answer)), append(index, r.Index)
	}
	shape := append([]int{len(index)}, a.records.Schema.RecordShape()...)
	return writeWhole(path, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for _, array := range []struct {
			name, kind string
			shape      []int
			data       any
		}{
			{"x", "<f4", shape, x}, {"label", "<i8", shape[:1], label}, {"answer", "<i8", shape[:1], answer}, {"index", "<i8", shape[:1], index},
		} {
			entry, err := z.Create(array.name + ".npy")
			if err != nil {
				return err
			}
			if err := dataset.WriteNPY(entry, array.kind, array.shape, array.data); err != nil {
				return err
			}
		}
		return z.Close()
	})
}

// writeWhole writes a file whole or not at all.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
