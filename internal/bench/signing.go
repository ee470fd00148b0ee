package main

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"

	"assay/internal/provenance"
	"assay/internal/signing"
)

const signedBytes = 256 << 20

// signingSpeed is the time to read and hash a large file over that to sign it: a signature costs
// no more than its digests.
func signingSpeed() benchmark {
	const name = "hash-over-sign/file"
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		folder, err := os.MkdirTemp("", "assay-bench-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
		path := filepath.Join(folder, "weights.bin")
		if err := os.WriteFile(path, make([]byte, signedBytes), 0o600); err != nil {
			return nil, err
		}
		key := signing.NewKey([sha256.Size]byte{1})
		h, s, err := inTurn(func() error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(sha256.New(), f)
			return err
		}, func() error {
			_, _, err := provenance.Sign(ctx, path, path+".sig", nil, provenance.Signer{Key: key}, provenance.Options{})
			return err
		})
		if err != nil {
			return nil, err
		}
		return []figure{{name, h.Seconds() / s.Seconds(), "min", 0.9}}, nil
	}}
}
