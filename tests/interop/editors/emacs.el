;;; A session in Emacs with Eglot; writes its results as JSON.  -*- lexical-binding: t -*-

(require 'json)
(package-initialize)
(require 'eglot)
(require 'flymake)

(define-derived-mode rhai-mode prog-mode "Rhai")
(add-to-list 'auto-mode-alist '("\\.rhai\\'" . rhai-mode))
(add-to-list 'eglot-server-programs `(rhai-mode . (,(getenv "RHAID") "lsp")))

(defvar results nil)

(defun record (name value)
  (push (cons name value) results))

(defun await (condition)
  "Waits until CONDITION returns non-nil, and returns its value."
  (let ((until (+ (float-time) 30)) found)
    (while (and (not (setq found (funcall condition))) (< (float-time) until))
      (accept-process-output nil 0.05))
    found))

(defun goto-text (text)
  "Moves point behind TEXT."
  (goto-char (point-min))
  (search-forward text))

(defun run ()
  (find-file "scripts/a.rhai")
  (apply #'eglot--connect (eglot--guess-contact))
  (flymake-mode 1)
  (flymake-start)
  (let ((found (await #'flymake-diagnostics)))
    (record 'diagnostics
         (vconcat (mapcar (lambda (one)
                            `((text . ,(flymake-diagnostic-text one))
                              (at . ,(buffer-substring (flymake-diagnostic-beg one) (flymake-diagnostic-end one)))))
                          found))))
  (goto-text "http_gett")
  (delete-char -1)
  (eglot--signal-textDocument/didChange)
  (record 'cleared (and (await (lambda () (null (flymake-diagnostics)))) t))
  (goto-text "msg.")
  (record 'completion (vconcat (all-completions "" (nth 2 (eglot-completion-at-point)))))
  (goto-text "mqtt_sub")
  (let (page)
    (eglot-hover-eldoc-function (lambda (text &rest _) (setq page text)))
    (await (lambda () page))
    (record 'hover (substring-no-properties (or page ""))))
  (goto-text "units::fahr")
  (let ((found (car (xref-backend-definitions 'eglot "LSP identifier at point."))))
    (record 'definition (format "%s:%s" (xref-location-group (xref-item-location found)) (xref-location-line (xref-item-location found)))))
  (eglot-shutdown (eglot-current-server))
  (record 'stopped t))

(condition-case why (run) (error (record 'why (format "%S" why))))
(with-temp-file (getenv "RESULTS") (insert (json-encode results)))
(kill-emacs 0)
