;;; What somebody does in Emacs with Eglot; writes down what was seen.  -*- lexical-binding: t -*-

(require 'json)
(package-initialize)
(require 'eglot)
(require 'flymake)

(define-derived-mode rhai-mode prog-mode "Rhai")
(add-to-list 'auto-mode-alist '("\\.rhai\\'" . rhai-mode))
(add-to-list 'eglot-server-programs `(rhai-mode . (,(getenv "RHAID") "lsp")))

(defvar seen nil)

(defun see (name value)
  (push (cons name value) seen))

(defun await (what)
  "Waits until WHAT returns something, and returns that."
  (let ((until (+ (float-time) 30)) found)
    (while (and (not (setq found (funcall what))) (< (float-time) until))
      (accept-process-output nil 0.05))
    found))

(defun place (text)
  "Goes behind TEXT."
  (goto-char (point-min))
  (search-forward text))

(defun run ()
  (find-file "scripts/a.rhai")
  (apply #'eglot--connect (eglot--guess-contact))
  (flymake-mode 1)
  (flymake-start)
  (let ((found (await #'flymake-diagnostics)))
    (see 'diagnostics
         (vconcat (mapcar (lambda (one)
                            `((text . ,(flymake-diagnostic-text one))
                              (at . ,(buffer-substring (flymake-diagnostic-beg one) (flymake-diagnostic-end one)))))
                          found))))
  (place "http_gett")
  (delete-char -1)
  (eglot--signal-textDocument/didChange)
  (see 'cleared (and (await (lambda () (null (flymake-diagnostics)))) t))
  (place "msg.")
  (see 'completion (vconcat (all-completions "" (nth 2 (eglot-completion-at-point)))))
  (place "mqtt_sub")
  (let (page)
    (eglot-hover-eldoc-function (lambda (text &rest _) (setq page text)))
    (await (lambda () page))
    (see 'hover (substring-no-properties (or page ""))))
  (place "units::fahr")
  (let ((found (car (xref-backend-definitions 'eglot "LSP identifier at point."))))
    (see 'definition (format "%s:%s" (xref-location-group (xref-item-location found)) (xref-location-line (xref-item-location found)))))
  (eglot-shutdown (eglot-current-server))
  (see 'stopped t))

(condition-case why (run) (error (see 'why (format "%S" why))))
(with-temp-file (getenv "SEEN") (insert (json-encode seen)))
(kill-emacs 0)
