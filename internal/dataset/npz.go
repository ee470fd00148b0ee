package dataset

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxMembers bounds the arrays of an NPZ file.
const maxMembers = 1000

// openNPZ opens an NPZ file, a zip of NPY files: one array of features, and one of labels.
func openNPZ(ctx context.Context, src input, o *Options) (format, error) {
	arrays, err := readNPZ(ctx, src)
	if err != nil {
		return nil, err
	}
	if o.LabelFile != "" && !o.Unlabelled {
		labels, err := labelArray(ctx, o.LabelFile)
		if err != nil {
			return nil, err
		}
		features, err := choose(arrays, labels)
		if err != nil {
			return nil, err
		}
		return newArrayFormat(features, labels, o)
	}
	labels, err := labelsAmong(arrays, o.Schema.Label.Name)
	if err != nil {
		return nil, err
	}
	features, err := choose(arrays, labels)
	if err != nil {
		return nil, err
	}
	if o.Unlabelled {
		labels = nil
	}
	return newArrayFormat(features, labels, o)
}

// labelsAmong finds the labels: by their name, by a usual name, or as the one array with one value for each record.
func labelsAmong(arrays []*array, name string) (*array, error) {
	names := arrayNames(arrays)
	if i := slices.Index(names, name); name != "" && i >= 0 {
		return arrays[i], nil
	}
	for _, usual := range []string{"y", "label", "labels", "target", "targets", "class", "classes"} {
		for i, n := range names {
			if strings.EqualFold(n, usual) {
				return arrays[i], nil
			}
		}
	}
	var flat []*array
	for _, a := range arrays {
		if n, _ := elements(a.shape[1:]); n == 1 {
			flat = append(flat, a)
		}
	}
	switch {
	case len(arrays) == 1:
		return nil, nil
	case len(flat) == 1:
		return flat[0], nil
	}
	return nil, fmt.Errorf("cannot tell which array holds the labels: name one of %s", listing(names))
}

// choose finds the features: the one array beside the labels with as many records.
func choose(arrays []*array, labels *array) (*array, error) {
	var fit []*array
	for _, a := range arrays {
		if a != labels && (labels == nil || a.shape[0] == labels.shape[0]) {
			fit = append(fit, a)
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) == 0:
		return nil, fmt.Errorf("there is no array of features with a record for each label; there are %s", listing(arrayNames(arrays)))
	}
	for _, usual := range []string{"x", "data", "features", "images"} {
		for _, a := range fit {
			if strings.EqualFold(a.name, usual) {
				return a, nil
			}
		}
	}
	return nil, fmt.Errorf("cannot tell which array holds the features: name it x; there are %s", listing(arrayNames(fit)))
}

func arrayNames(arrays []*array) []string {
	names := make([]string, len(arrays))
	for i, a := range arrays {
		names[i] = a.name
	}
	return names
}

// readNPZ reads the headers of all members.
func readNPZ(ctx context.Context, src input) ([]*array, error) {
	f, err := os.Open(src.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := zip.NewReader(f, src.size)
	if err != nil {
		return nil, fmt.Errorf("is not a readable NPZ file: %w", err)
	}
	if len(z.File) > maxMembers {
		return nil, fmt.Errorf("holds %d files, more than %d", len(z.File), maxMembers)
	}
	var arrays []*array
	for i, member := range z.File {
		if member.FileInfo().IsDir() {
			continue
		}
		a, err := readMember(src, i, member)
		if err != nil {
			return nil, fmt.Errorf("its member %s %w", quote(member.Name), err)
		}
		arrays = append(arrays, a)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if len(arrays) == 0 {
		return nil, errors.New("holds no array")
	}
	return arrays, nil
}

func readMember(src input, i int, member *zip.File) (*array, error) {
	r, err := member.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer r.Close()
	a, start, err := decodeNPY(r)
	if err != nil {
		return nil, err
	}
	a.name, a.files = strings.TrimSuffix(member.Name, ".npy"), []string{src.path}
	a.open = func(ctx context.Context) (io.ReadCloser, error) { return openMember(ctx, src, i, start) }
	return a, a.check(func(n int64) bool {
		stored := input{size: min(int64(min(member.CompressedSize64, 1<<62)), src.size), gzip: member.Method == zip.Deflate}
		return stored.plausible(n)
	})
}

// openMember opens a member from an offset on.
func openMember(ctx context.Context, src input, i int, offset int64) (io.ReadCloser, error) {
	f, err := os.Open(src.path)
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(f, src.size)
	if err == nil && i >= len(z.File) {
		err = errors.New("the file has changed")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := z.File[i].Open()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	member := &memberReader{contextReader{ctx, r}, r, f}
	if _, err := io.CopyN(io.Discard, member, offset); err != nil {
		return nil, errors.Join(fmt.Errorf("ends in its header: %w", err), member.Close())
	}
	return member, nil
}

type memberReader struct {
	contextReader
	member io.Closer
	file   io.Closer
}

func (m *memberReader) Close() error {
	return errors.Join(m.member.Close(), m.file.Close())
}
