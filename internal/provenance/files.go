// Package provenance tells of the files of a model or dataset whether they are those that
// somebody signed, in the format of OpenSSF Model Signing (OMS) 1.0: a Sigstore bundle v0.3
// with a DSSE envelope, in which an in-toto statement names each file by its digest
// (github.com/ossf/model-signing-spec, spec/v1.0.md). Keys and certificate chains are known;
// signatures by way of Sigstore's services need its log and are refused. Nothing is asked of
// a network, and no file is interpreted.
package provenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// File is a file of a model or dataset.
type File struct {
	Name string // below the root, with slashes; of a single file its base name
	Size int64
	Open func() (io.ReadCloser, error)
}

// Problem is something that is wrong with a file.
type Problem struct {
	File   string `json:"file"`
	Detail string `json:"detail"`
}

func (p Problem) String() string { return p.File + ": " + p.Detail }

// maxFiles bounds the files of one model.
const maxFiles = 1 << 20

// always are left out of every signature: what a version control keeps beside a model (spec, 6.2).
var always = []string{".git", ".gitattributes", ".github", ".gitignore"}

// List lists the files of a folder by name, or the one file that the root is. Ignored are
// relative paths, with all below them. What cannot be vouched for, such as symbolic links,
// which can be pointed elsewhere at any time, is a problem.
func List(ctx context.Context, root string, ignored []string) (files []File, problems []Problem, err error) {
	info, err := os.Lstat(root)
	if err != nil {
		return nil, nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil, nil, fmt.Errorf("%s is a symbolic link: name what it points to", root)
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, nil, fmt.Errorf("%s is no regular file", root)
		}
		return []File{{filepath.Base(root), info.Size(), regular(func() (*os.File, error) { return os.Open(root) })}}, nil, nil
	}
	err = filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		rel, err := filepath.Rel(root, at)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		switch {
		case slices.Contains(ignored, name) && d.IsDir():
			return fs.SkipDir
		case slices.Contains(ignored, name) || d.IsDir():
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			problems = append(problems, Problem{name, "it is a symbolic link, which can be pointed elsewhere at any time: put the file itself here"})
			return nil
		case !d.Type().IsRegular():
			problems = append(problems, Problem{name, "it is no regular file"})
			return nil
		case !utf8.ValidString(name):
			problems = append(problems, Problem{strings.ToValidUTF8(name, "�"), "its name is not in UTF-8"})
			return nil
		case len(files) == maxFiles:
			return fmt.Errorf("%s has more than %d files", root, maxFiles)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files = append(files, File{name, info.Size(), regular(func() (*os.File, error) { return os.OpenInRoot(root, rel) })})
		return nil
	})
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, problems, err
}

// regular opens what must still be a regular file then.
func regular(open func() (*os.File, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		f, err := open()
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("it is no regular file any more")
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
}

// within gives a path relative to a root in which it lies, with slashes.
func within(root, at string) (string, bool) {
	root, err1 := filepath.Abs(root)
	at, err2 := filepath.Abs(at)
	rel, err3 := filepath.Rel(root, at)
	return filepath.ToSlash(rel), errors.Join(err1, err2, err3) == nil && rel != "." && filepath.IsLocal(rel)
}

// canonical reports whether a name is as the specification has it (6.1.2).
func canonical(name string) bool {
	return name != "" && utf8.ValidString(name) && path.Clean(name) == name && fs.ValidPath(name) && name != "."
}
