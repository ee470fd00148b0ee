package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"assay/internal/scan"
	"assay/internal/scan/formats"
)

// The sizes of two files that have the same header but for a number.
const (
	smallFile = 1 << 20
	largeFile = 10 << 30
	scans     = 50 // of a file, to be timed together
)

// headers are what files of tensors begin with, for one tensor of some bytes.
var headers = map[string]func(size int64) []byte{
	"safetensors": func(size int64) []byte {
		h := fmt.Sprintf(`{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, size, size)
		h += strings.Repeat(" ", 96-len(h))
		return append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...)
	},
	"gguf": func(size int64) []byte {
		le := binary.LittleEndian
		b := append(le.AppendUint64(le.AppendUint64([]byte("GGUF\x03\x00\x00\x00"), 1), 0), "\x01\x00\x00\x00\x00\x00\x00\x00a\x01\x00\x00\x00"...)
		b = le.AppendUint64(le.AppendUint32(le.AppendUint64(b, uint64(size/4)), 0), 0) // 32-bit numbers, at the start
		return append(b, make([]byte, 64-len(b))...)
	},
}

// scanHeader is the time to scan a file of 10 GiB over that of one of 1 MiB with the same
// header: of tensors nothing but the header is read.
func scanHeader(kind string) benchmark {
	name := "scan-large-over-small/" + kind
	return benchmark{name, func(ctx context.Context) (out []figure, err error) {
		folder, err := os.MkdirTemp("", "assay-bench")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
		runner := scan.Runner{Scanners: formats.All()}
		file := func(size int64) func() error {
			path := filepath.Join(folder, fmt.Sprint(size))
			head := headers[kind](size)
			if err := errors.Join(os.WriteFile(path, head, 0o600), os.Truncate(path, int64(len(head))+size)); err != nil {
				return func() error { return err }
			}
			return func() error {
				for range scans {
					results, err := runner.Paths(ctx, []string{path})
					if err == nil && (results[0].Status != scan.Clean || results[0].Format != kind) {
						err = fmt.Errorf("the file is %s: %v", results[0].Status, results[0].Findings)
					}
					if err != nil {
						return err
					}
				}
				return nil
			}
		}
		small, large, err := inTurn(file(smallFile), file(largeFile))
		if err != nil {
			return nil, err
		}
		fmt.Printf("scan-us/%s is %.0f for 10 GiB\n", kind, large.Seconds()*1e6/scans)
		return []figure{{name, large.Seconds() / small.Seconds(), "max", 2}}, nil
	}}
}

// scanTogether is the time to scan eight files one after the other over that with two workers.
func scanTogether() benchmark {
	const name = "scan-one-over-two-workers"
	return benchmark{name, func(ctx context.Context) (out []figure, err error) {
		folder, err := os.MkdirTemp("", "assay-bench")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
		data := stream(pickles["records"])
		for i := range 8 {
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprint(i)), data, 0o600); err != nil {
				return nil, err
			}
		}
		with := func(workers int) func() error {
			return func() error {
				_, err := (&scan.Runner{Scanners: formats.All(), Workers: workers}).Paths(ctx, []string{folder})
				return err
			}
		}
		one, two, err := inTurn(with(1), with(threads))
		if err != nil {
			return nil, err
		}
		return []figure{{name, one.Seconds() / two.Seconds(), "min", 1.4}}, nil
	}}
}
