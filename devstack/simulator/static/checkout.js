/* The simulator's stand-in for https://checkout.razorpay.com/v1/checkout.js.
 *
 * A page that works with Razorpay's script works with this one, and the other way round: only the
 * address of the script differs. It opens the simulator's own page in a frame and talks to it by
 * postMessage; each side accepts messages of the other's window and origin alone. All styles are set
 * as properties, and no handler is written into markup, so that a strict Content-Security-Policy
 * (script-src and frame-src with the simulator's address) does not stop it.
 */
(function () {
  'use strict';

  var ORIGIN = new URL(document.currentScript.src).origin;
  var open = null; // the one Checkout that is on the screen

  function Razorpay(options) {
    if (!(this instanceof Razorpay)) return new Razorpay(options);
    if (!options || !options.key) throw new Error('No key passed');
    this.options = options;
    this.listeners = {};
  }

  Razorpay.open = function (options) {
    return new Razorpay(options).open();
  };

  Razorpay.prototype.on = function (event, listener) {
    (this.listeners[event] = this.listeners[event] || []).push(listener);
    return this;
  };

  Razorpay.prototype.open = function () {
    if (open) return this;
    open = this;
    this.focused = document.activeElement;
    this.receive = this.receive.bind(this);
    this.escape = this.escape.bind(this);
    window.addEventListener('message', this.receive);
    document.addEventListener('keydown', this.escape);
    this.overlay = overlay();
    this.frame = this.overlay.firstChild;
    this.overflow = document.body.style.overflow;
    document.body.style.overflow = 'hidden';
    document.body.appendChild(this.overlay);
    return this;
  };

  /* Takes Checkout off the screen, as a visitor's closing does: the page hears of it. */
  Razorpay.prototype.close = function () {
    if (open === this) dismiss(this, undefined);
    return this;
  };

  Razorpay.prototype.escape = function (event) {
    if (event.key === 'Escape' && modal(this).escape !== false) this.close();
  };

  Razorpay.prototype.receive = function (event) {
    if (event.origin !== ORIGIN || event.source !== this.frame.contentWindow) return;
    var message = event.data || {};
    if (message.type === 'ready') {
      this.frame.contentWindow.postMessage({ type: 'open', options: plain(this.options) }, ORIGIN);
    } else if (message.type === 'success') {
      succeed(this, message.payment);
    } else if (message.type === 'failure') {
      fail(this, message.error);
    } else if (message.type === 'dismiss') {
      dismiss(this, message.reason);
    }
  };

  function succeed(checkout, payment) {
    var options = checkout.options;
    remove(checkout);
    if (options.callback_url && (options.redirect || !options.handler)) {
      post(options.callback_url, payment);
    } else if (options.handler) {
      options.handler(payment);
    }
  }

  function fail(checkout, error) {
    var options = checkout.options;
    emit(checkout, 'payment.failed', { error: error });
    if (!options.callback_url || !options.redirect) return; // the frame offers another try
    remove(checkout);
    var fields = {};
    Object.keys(error).forEach(function (name) {
      var value = error[name];
      fields['error[' + name + ']'] = typeof value === 'object' ? JSON.stringify(value) : value;
    });
    post(options.callback_url, fields);
  }

  function dismiss(checkout, reason) {
    remove(checkout);
    if (modal(checkout).ondismiss) modal(checkout).ondismiss(reason);
  }

  function remove(checkout) {
    open = null;
    window.removeEventListener('message', checkout.receive);
    document.removeEventListener('keydown', checkout.escape);
    checkout.overlay.remove();
    document.body.style.overflow = checkout.overflow;
    if (checkout.focused && checkout.focused.focus) checkout.focused.focus();
  }

  function emit(checkout, event, value) {
    (checkout.listeners[event] || []).forEach(function (listener) {
      listener(value);
    });
  }

  function modal(checkout) {
    return checkout.options.modal || {};
  }

  function overlay() {
    var box = document.createElement('div');
    box.className = 'razorpay-container';
    style(box, {
      position: 'fixed', inset: '0', zIndex: '2147483647', background: 'rgba(12, 18, 28, 0.6)',
    });
    var frame = document.createElement('iframe');
    frame.className = 'razorpay-checkout-frame';
    frame.title = 'Razorpay Checkout (simulator)';
    frame.src = ORIGIN + '/checkout-frame';
    style(frame, { width: '100%', height: '100%', border: '0', colorScheme: 'normal' });
    box.appendChild(frame);
    return box;
  }

  function style(element, properties) {
    Object.keys(properties).forEach(function (name) {
      element.style[name] = properties[name];
    });
  }

  /* What of the options can be sent to another window: functions cannot. */
  function plain(options) {
    return JSON.parse(JSON.stringify(options));
  }

  function post(url, fields) {
    var form = document.createElement('form');
    form.method = 'post';
    form.action = url;
    Object.keys(fields).forEach(function (name) {
      var field = document.createElement('input');
      field.type = 'hidden';
      field.name = name;
      field.value = fields[name];
      form.appendChild(field);
    });
    document.body.appendChild(form);
    form.submit();
  }

  window.Razorpay = Razorpay;
})();
