package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// walk gives the file, or all files of the folder, at a path. Within a folder a link is
// followed to a file of that folder only: what is outside is not what was asked for, and
// folders within it are walked by themselves.
func walk(ctx context.Context, path string) ([]target, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return []target{{path: path, problem: errors.New("it is no regular file")}}, nil
		}
		return []target{{path: path, open: func() (*os.File, error) { return os.Open(path) }}}, nil
	}
	var out []target
	err = fs.WalkDir(os.DirFS(path), ".", func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		at := filepath.Join(path, filepath.FromSlash(name))
		switch {
		case err != nil:
			out = append(out, target{path: at, problem: err})
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case !d.IsDir():
			if t := within(path, name, at); t.path != "" {
				out = append(out, t)
			}
		}
		return nil
	})
	return out, err
}

// within is a file in a folder, nothing for a link to a folder within it. The folder's
// own handle opens it, which refuses links that lead out, whenever they were made.
func within(folder, name, at string) target {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return target{path: at, problem: err}
	}
	defer root.Close()
	info, err := root.Stat(name)
	switch {
	case err != nil:
		return target{path: at, problem: fmt.Errorf("it leads out of the folder, or nowhere: %w", err)}
	case info.IsDir():
		return target{}
	case !info.Mode().IsRegular():
		return target{path: at, problem: errors.New("it is no regular file")}
	}
	return target{path: at, open: func() (*os.File, error) {
		root, err := os.OpenRoot(folder)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		return root.Open(name)
	}}
}
