package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

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
			if err := writeNPY(entry, array.kind, array.shape, array.data); err != nil {
				return err
			}
		}
		return z.Close()
	})
}

// writeNPY writes an array in version 1.0 of NumPy's format (NEP 1).
func writeNPY(w io.Writer, kind string, shape []int, data any) error {
	dims := ""
	for _, d := range shape {
		dims += fmt.Sprintf("%d, ", d)
	}
	if len(shape) > 1 {
		dims = strings.TrimSuffix(dims, ", ")
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", kind, strings.TrimSuffix(dims, " "))
	const before = 10 // bytes; with the header and its line's end a multiple of 64
	header += strings.Repeat(" ", 63-(before+len(header))%64) + "\n"
	var out bytes.Buffer
	out.WriteString("\x93NUMPY\x01\x00")
	for _, part := range []any{uint16(len(header)), []byte(header), data} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			return err
		}
	}
	_, err := out.WriteTo(w)
	return err
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
